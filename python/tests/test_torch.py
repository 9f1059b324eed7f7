"""The torch loader: tensors without a copy, in the place of torch's own DataLoader."""

from __future__ import annotations

import gc
import inspect
import json
from collections.abc import Callable
from pathlib import Path

import pytest

import framefeed
from conftest import VIDEOS, damage

torch = pytest.importorskip("torch")

from framefeed.torch import Batches, DataLoader  # noqa: E402

NAMES = [name for name, *_ in VIDEOS]
Make = Callable[..., DataLoader]


@pytest.fixture
def make(dataset: framefeed.Dataset) -> Make:
    def make(**options: object) -> DataLoader:
        defaults = {"batch_size": 3, "window": framefeed.Window(frames=4, stride=2, short="loop"), "size": (32, 48)}
        return DataLoader(dataset, **{**defaults, **options})  # type: ignore[arg-type]

    return make


@pytest.mark.parametrize("dtype", ["uint8", "float16", "bfloat16", "float32"])
def test_batches_are_tensors(make: Make, dtype: str) -> None:
    loader = make(dtype=dtype, columns=["score", "rank", "good", "camera"], shuffle=True)
    assert isinstance(loader.dataset, framefeed.Dataset) and loader.batch_size == 3 and not loader.drop_last
    assert len(loader) == len(list(loader)) == 3
    batch = next(iter(loader))
    assert batch["video"].shape == (3, 4, 3, 32, 48) and batch["video"].dtype == getattr(torch, dtype)
    for name, shape in [("pts", (3, 4)), ("frame", (3, 4)), ("record", (3,)), ("position", (3,))]:
        assert batch[name].dtype == torch.int64 and batch[name].shape == shape
    columns = batch["columns"]
    assert columns["score"].dtype == torch.float64 and columns["rank"].dtype == torch.int64
    assert columns["good"].dtype == torch.bool and isinstance(columns["camera"], list)
    assert isinstance(batch["key"], list) and isinstance(batch["caption"][0], str)


def test_torchs_dtypes_are_taken(make: Make) -> None:
    assert next(iter(make(dtype=torch.bfloat16)))["video"].dtype == torch.bfloat16
    with pytest.raises(framefeed.InvalidArgumentError, match="torch.float64"):
        make(dtype=torch.float64)


def test_bfloat16_is_float32_rounded(make: Make) -> None:
    exact = next(iter(make(dtype="float32")))["video"]
    rounded = next(iter(make(dtype="bfloat16")))["video"]
    assert (rounded.float() - exact).abs().max() <= 2**-8


def test_the_tensor_is_the_loaders_memory_and_outlives_it(make: Make) -> None:
    loader = make()
    batches = iter(loader)
    video = next(batches)["video"]
    copied = video.clone()
    for _ in batches:
        pass
    del batches, loader
    gc.collect()
    assert torch.equal(video, copied)
    part = video[0, 1]
    del video
    gc.collect()
    assert torch.equal(part, copied[0, 1])


def test_an_epoch_can_be_closed_and_says_what_it_left_out(dataset: framefeed.Dataset, copied: Path, make: Make) -> None:
    batches = iter(make())
    assert isinstance(batches, Batches) and iter(batches) is batches
    next(batches)
    batches.close()
    assert list(batches) == [] and batches.left_out == []
    for name in NAMES:
        damage(dataset, copied, name)
    # A window over the whole record meets the damage for sure.
    window = framefeed.Window(frames=40, short="repeat_last")
    damaged = iter(DataLoader(framefeed.Dataset(copied), window=window, size=(32, 48), on_error="skip"))
    with pytest.raises(framefeed.CorruptError, match="all 8 samples were skipped"):
        next(damaged)
    with pytest.warns(framefeed.SkippedWarning):
        assert list(damaged) == []
    assert len(damaged.left_out) == len(NAMES)


def test_dropped_tensors_are_used_again(make: Make) -> None:
    loader = make()
    for _ in range(12):
        for batch in loader:
            del batch
    stats = loader.stats()
    assert stats["batch_buffers_allocated"] <= 8 and stats["batch_buffers_recycled"] >= 20


def test_state_goes_through_json_and_torch_save(make: Make, tmp_path: object) -> None:
    loader = make(shuffle=True, seed=4)
    batches = iter(loader)
    next(batches)
    state = json.loads(json.dumps(loader.state_dict()))
    expected = [batch["key"] for batch in batches]
    resumed = make(shuffle=True, seed=4)
    resumed.load_state_dict(state)
    assert [batch["key"] for batch in resumed] == expected
    resumed.set_epoch(3)
    assert {batch["epoch"] for batch in resumed} == {3} and resumed.epoch == 4


def test_a_device_that_is_not_there_is_an_error(make: Make) -> None:
    with pytest.raises(framefeed.DeviceError, match="expected a cpu or cuda device"):
        make(device="meta")
    with pytest.raises(framefeed.InvalidArgumentError, match="nonsense"):
        make(device="nonsense")
    if not torch.cuda.is_available():
        with pytest.raises(framefeed.DeviceError, match="torch finds no CUDA device") as raised:
            make(device="cuda:0")
        assert raised.value.kind == "device"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_pixels_go_to_the_device(make: Make) -> None:
    for here, there in zip(make(), make(device="cuda")):
        assert there["video"].device.type == "cuda" and torch.equal(here["video"], there["video"].cpu())


def test_a_model_learns_from_it(make: Make) -> None:
    torch.manual_seed(0)
    loader = make(dtype="float32", shuffle=True)
    model = torch.nn.Conv3d(3, 3, 3, padding=1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    losses = []
    for _ in range(8):
        for batch in loader:
            clips = batch["video"].transpose(1, 2)
            loss = torch.nn.functional.mse_loss(model(clips), clips)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 2


def test_describe_and_repr_say_what_it_is(make: Make) -> None:
    loader = make()
    assert "device: cpu" in loader.describe() and "DataLoader" in repr(loader)
    assert loader.device == torch.device("cpu")


@pytest.mark.parametrize(
    "option, told",
    [
        ("num_workers", "DataLoader has no num_workers: .*threads.* give decode_workers="),
        ("prefetch_factor", "give prefetch_batches="),
        ("pin_memory", "has no pin_memory: .*leave it out"),
        ("worker_init_fn", "no worker processes"),
        ("persistent_workers", "no worker processes"),
        ("collate_fn", "change them in the loop"),
        ("nonsense", "unexpected keyword argument 'nonsense'"),
    ],
)
def test_options_of_torchs_loader_are_explained(make: Make, option: str, told: str) -> None:
    with pytest.raises(TypeError, match=told):
        make(**{option: 2})
    assert "decode_workers" in inspect.signature(DataLoader).parameters
