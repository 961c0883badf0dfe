"""The training engine: many processes, accumulated parts, averages and schedules, and what stops a training."""

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from forked import ended, forked
from maquette.models import MeshConfig, SmallEncoder, load_run
from maquette.models.mesh import MeshHead
from maquette.train import TrainConfig, train
from maquette.train.failures import telling_of_memory
from maquette.train.loader import ahead
from maquette.train.schedule import follow

ROOT = Path(__file__).parents[1]
# Group normalisation: what one picture gives does not depend on the others in the batch. The mesh draws points of its
# surface at random in every step.
MODEL = MeshConfig(
    SmallEncoder(width=8, features=16, picture_size=32, norm="group"), MeshHead(level=1, hidden=16, samples=50)
)
ROUNDING = 2e-4
"""Sums of float32 in another order differ by 1e-7 of their size; ten steps of Adam, which divides gradients by their
own size, make more of it. Other random numbers change a loss by 1e-2."""


@pytest.fixture(scope="module")
def data(ten_objects) -> Path:
    return ten_objects


def config(data: Path, out: Path, **changes) -> TrainConfig:
    settings = {"steps": 6, "batch": 4, "warmup": 2, "save_every": 3, "validate_every": 100, "workers": 1} | changes
    return TrainConfig(out=out, data=data, model=MODEL, **settings)


def lines(out: Path) -> list[dict]:
    told = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [line for line in told if "loss" in line]


def losses(out: Path) -> list[float]:
    return [line["loss"] for line in lines(out)]


@pytest.fixture(scope="module")
def alone(data, tmp_path_factory) -> list[float]:
    """The losses of one process that takes each batch as a whole."""
    out = tmp_path_factory.mktemp("alone") / "run"
    train(config(data, out))
    return losses(out)


TRAINS = """
import sys; from pathlib import Path; from test_engine import config; from maquette.train import train
train(config(Path(sys.argv[1]), Path(sys.argv[2])))
"""


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def together(data: Path, out: Path, processes: int, said: Path) -> list[int | None]:
    """The exit codes of a training's processes, started as `torchrun` starts them; what they say is in `said`."""
    port = free_port()
    team = {"WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    started = []
    for rank in range(processes):
        told = {name: str(value) for name, value in (team | {"RANK": rank, "LOCAL_RANK": rank}).items()}
        started.append(forked(train, config(data, out), said=said, environment=told))
    return [ended(process, 240) for process in started]


def test_two_processes_go_through_the_losses_of_one(data, tmp_path, alone):
    said = tmp_path / "said.txt"
    assert together(data, tmp_path / "run", 2, said) == [0, 0], said.read_text()
    assert losses(tmp_path / "run") == pytest.approx(alone, rel=ROUNDING)
    assert load_run(tmp_path / "run").settings["step"] == 6


def test_accumulated_parts_go_through_the_losses_of_whole_batches(data, tmp_path, alone):
    train(config(data, tmp_path / "run", accumulate=4))
    assert losses(tmp_path / "run") == pytest.approx(alone, rel=ROUNDING)


def test_batches_made_in_the_step_or_by_several_threads_are_the_same(data, tmp_path, alone):
    for loaders in (0, 3):
        train(config(data, tmp_path / f"{loaders}", loaders=loaders))
        assert losses(tmp_path / f"{loaders}") == alone


def test_batches_come_in_the_order_of_their_steps():
    with ahead(lambda step: step**2, range(3, 20), 3) as batches:
        assert list(batches) == [(step, step**2) for step in range(3, 20)]


def test_a_batch_that_cannot_be_made_raises_in_its_step():
    def make(step: int) -> float:
        return 1 / (step - 2)

    with ahead(make, range(5), 2) as batches:
        assert [next(batches)[0] for _ in range(2)] == [0, 1]
        with pytest.raises(ZeroDivisionError):
            next(batches)


def test_a_batch_that_does_not_divide_says_by_what(data, tmp_path):
    with pytest.raises(ValueError, match=r"a batch of 4 does not divide by 1 processes x 3 .* as 6"):
        train(config(data, tmp_path / "run", accumulate=3))


def test_gradients_are_clipped_and_their_norm_is_told_before(data, tmp_path, alone):
    train(config(data, tmp_path / "run", steps=3, clip=1e-12))
    norms = [line["gradient"] for line in lines(tmp_path / "run")]
    assert all(norm > 1e-3 for norm in norms)
    # Adam divides by the size of gradients, but for its epsilon of 1e-8, which these are far below.
    assert losses(tmp_path / "run")[0] == alone[0]
    state = load_file(tmp_path / "run" / "state.safetensors")
    begun = load_file(begun_state(data, tmp_path))
    name = "tensor.model.encoder.stem.0.weight"
    torch.testing.assert_close(state[name], begun[name], rtol=0, atol=1e-5)


def begun_state(data: Path, folder: Path) -> Path:
    train(config(data, folder / "one", steps=1, warmup=10**9))
    return folder / "one" / "state.safetensors"


def test_the_average_of_a_constant_is_the_constant_and_lags_behind_a_ramp():
    model, average = torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(average.weight, 0.0)
    expected = 0.0
    for step in range(200):
        torch.nn.init.constant_(model.weight, float(step))
        follow(average, model, 0.9, step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
        assert average.weight.item() == pytest.approx(expected, rel=1e-5)
    # A ramp of slope 1 is followed at a distance of decay / (1 - decay).
    assert 199 - average.weight.item() == pytest.approx(9, rel=1e-3)


def test_what_is_saved_is_the_average_and_the_state_holds_both(data, tmp_path):
    train(config(data, tmp_path / "run", steps=3, ema=0.99))
    state = load_file(tmp_path / "run" / "state.safetensors")
    saved = load_file(tmp_path / "run" / "model.safetensors")
    assert any(not torch.equal(saved[name], state[f"tensor.model.{name}"]) for name in saved)
    for name, value in saved.items():
        assert torch.equal(value, state[f"tensor.average.{name}"]), name


def test_bfloat16_trains_and_saves_single_precision(data, tmp_path, alone):
    train(config(data, tmp_path / "run", steps=1, precision="bf16"))
    # Eight bits of a mantissa: 0.4 % of each number in the encoder.
    (first,) = losses(tmp_path / "run")
    assert first == pytest.approx(alone[0], rel=0.02) and first != alone[0]
    assert torch.bfloat16 not in {value.dtype for value in load_file(tmp_path / "run" / "model.safetensors").values()}


def test_half_precision_needs_a_gpu(data, tmp_path):
    with pytest.raises(ValueError, match="fp16 needs a CUDA device"):
        train(config(data, tmp_path / "run", precision="fp16"))


def test_a_loss_that_is_not_finite_is_named_and_leaves_its_batch_to_look_at(data, tmp_path):
    out = tmp_path / "run"
    told = r"not finite in step \d+ \(.*mesh .*failed-batch.safetensors"
    with pytest.raises(FloatingPointError, match=told) as caught:
        train(config(data, out, lr=1e30, steps=300))
    told = json.loads((out / "failed-batch.json").read_text())
    assert f"step {told['step']} " in str(caught.value)
    tensors = load_file(out / "failed-batch.safetensors")
    assert tensors["pictures"].shape == (4, 4, 32, 32)
    assert len(tensors["points"]) == len(told["objects"]) == 4
    assert all(id in {path.name for path in (data / "objects").iterdir()} for id in told["objects"])


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory. Tried"), MemoryError(), RuntimeError("x: can't allocate memory: y")],
)
def test_running_out_of_memory_says_what_to_lower(error):
    with pytest.raises(MemoryError, match=r"out of memory.*lower --batch"), telling_of_memory("lower --batch"):
        raise error


def test_other_errors_of_torch_stay_what_they_are():
    with pytest.raises(RuntimeError, match="shapes"), telling_of_memory("lower --batch"):
        raise RuntimeError("shapes")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ema": 1.0}, "ema is 1.0; give a decay between"),
        ({"clip": 0.0}, "clip is 0.0; give a positive"),
        ({"accumulate": 0}, "accumulate is 0"),
        ({"warmup": -1}, "warmup is -1"),
    ],
)
def test_settings_that_make_no_sense_are_told(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        replace(TrainConfig(out=tmp_path, data=tmp_path), **changes)


@pytest.mark.slow
def test_torchrun_starts_and_resumes_a_training_from_the_command_line(data, tmp_path):
    words = [
        *("train", "--data", str(data), "--out", str(tmp_path / "run"), "--batch", "4", "--workers", "1"),
        *("--save-every", "2", "model:mesh", "--model.encoder.width", "8", "--model.encoder.picture-size", "32"),
    ]
    for more in (["--steps", "3"], ["--steps", "5", "--resume"]):
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
        run = subprocess.run(
            [*command, "maquette", *words[:9], *more, *words[9:]], cwd=tmp_path, timeout=300,
            env=os.environ | {"PYTHONPATH": str(ROOT / "src")}, capture_output=True, text=True,
        )  # fmt: skip
        assert run.returncode == 0, run.stderr
    assert len(losses(tmp_path / "run")) == 5


@pytest.mark.slow
def test_two_nodes_go_through_the_losses_of_one_process(data, tmp_path, alone):
    """Two machines on one: each is started by the same line, and they find each other."""
    program = tmp_path / "program.py"
    program.write_text(TRAINS)
    node = [
        *(sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1"),
        *("--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{free_port()}", "--rdzv-id", "two"),
        *(str(program), str(data), str(tmp_path / "run")),
    ]
    settings = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'tests'}", "OMP_NUM_THREADS": "1"}
    nodes = [subprocess.Popen(node, env=settings, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for started in nodes:
        _, error = started.communicate(timeout=300)
        assert started.returncode == 0, error
    assert losses(tmp_path / "run") == pytest.approx(alone, rel=ROUNDING)
