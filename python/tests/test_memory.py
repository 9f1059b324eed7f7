"""Who owns the memory: tensors outlive everything that they came from, and give the memory back when the last look is gone."""

from __future__ import annotations

import gc
import resource
import threading
import weakref
from collections.abc import Callable

import numpy as np
import pytest

import framefeed

Make = Callable[..., framefeed.Loader]


def resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def test_an_array_outlives_batch_loader_and_dataset(path: object) -> None:
    dataset = framefeed.Dataset(str(path))
    loader = framefeed.Loader(dataset, window=framefeed.Window(frames=4), batch_size=3, size=(32, 48))
    batches = iter(loader)
    batch = next(batches)
    array = np.from_dlpack(batch["video"])
    before = array.copy()
    for _ in batches:  # the loader goes on and recycles what it may
        pass
    del batch, batches, loader, dataset
    gc.collect()
    np.zeros(array.nbytes * 4, np.uint8)  # something else wants memory
    assert np.array_equal(array, before)


def test_views_are_of_one_memory_and_copies_are_not(make_loader: Make) -> None:
    video = next(iter(make_loader()))["video"]
    first, second = np.from_dlpack(video), video.numpy()
    assert first.ctypes.data == second.ctypes.data and first.ctypes.data % 64 == 0
    assert first.flags.writeable and first.flags.c_contiguous
    copied = np.from_dlpack(video, copy=True)
    assert copied.ctypes.data != first.ctypes.data and np.array_equal(copied, first)
    first[:] = 7
    assert np.array_equal(second, first) and not np.array_equal(copied, first)
    assert np.asarray(video).ctypes.data == first.ctypes.data
    assert np.array(video, dtype=np.int32).dtype == np.int32


def test_memory_goes_back_to_the_loader_with_the_last_view(make_loader: Make) -> None:
    loader = make_loader(prefetch_batches=2)
    for _ in range(12):
        for batch in loader:
            array = batch["video"].numpy()
            del batch, array
    stats = loader.stats()
    # Two in the making, one being handed over, one here: that is all the memory there ever is.
    assert stats["batch_buffers_allocated"] <= 4
    assert stats["batch_buffers_allocated"] + stats["batch_buffers_recycled"] >= 36


def test_batches_that_are_kept_are_never_recycled(make_loader: Make) -> None:
    loader = make_loader(shuffle=True)
    kept = [batch["video"].numpy() for _ in range(8) for batch in loader]
    copies = [array.copy() for array in kept]
    for _ in range(4):
        for _ in loader:
            pass
    assert all(np.array_equal(array, copied) for array, copied in zip(kept, copies))
    assert len({array.ctypes.data for array in kept}) == len(kept)


def test_a_view_dies_with_its_weak_reference(make_loader: Make) -> None:
    array = next(iter(make_loader()))["video"].numpy()
    alive = weakref.ref(array)
    del array
    gc.collect()
    assert alive() is None


def test_a_view_may_be_dropped_on_another_thread(make_loader: Make) -> None:
    arrays = [batch["video"].numpy() for batch in make_loader()]
    thread = threading.Thread(target=arrays.clear)
    thread.start()
    thread.join()
    assert arrays == []


def test_capsules_are_versioned_when_asked(dataset: framefeed.Dataset) -> None:
    clip = dataset.find("mpeg4").decode([0, 1])
    assert "dltensor_versioned" in repr(clip.__dlpack__(max_version=(1, 0)))
    assert "dltensor_versioned" in repr(clip.__dlpack__(max_version=(2, 3)))
    for capsule in (clip.__dlpack__(), clip.__dlpack__(max_version=(0, 8))):
        assert '"dltensor"' in repr(capsule)
    assert clip.__dlpack_device__() == (1, 0)
    for wrong in ({"dl_device": (2, 0)}, {"stream": 3}):
        with pytest.raises(BufferError):
            clip.__dlpack__(**wrong)  # type: ignore[arg-type]


def test_capsules_that_nobody_takes_free_what_they_hold(dataset: framefeed.Dataset) -> None:
    record = dataset.find("mpeg4")

    def waste(count: int) -> None:
        for _ in range(count):
            clip = record.decode([0, 1], size=(512, 512))  # 1.5 MB each
            clip.__dlpack__()
            clip.__dlpack__(max_version=(1, 0))
            clip.__dlpack__(copy=True)

    waste(20)
    gc.collect()
    before = resident_bytes()
    waste(60)
    gc.collect()
    assert resident_bytes() - before < 40_000_000  # leaked capsules would hold 90 to 180 MB


def test_memory_is_flat_over_epochs(make_loader: Make) -> None:
    loader = make_loader(shuffle=True, size=(128, 128))
    for _ in range(3):
        for _ in loader:
            pass
    gc.collect()
    before = resident_bytes()
    for _ in range(30):
        for _ in loader:
            pass
    gc.collect()
    assert resident_bytes() - before < 30_000_000


def test_numpy_says_what_to_do_about_bfloat16(make_loader: Make) -> None:
    video = next(iter(make_loader(dtype="bfloat16")))["video"]
    assert video.dtype == "bfloat16" and video.nbytes == 3 * 4 * 3 * 32 * 48 * 2
    with pytest.raises(framefeed.UnsupportedError, match="numpy has no bfloat16: use torch.from_dlpack"):
        video.numpy()
    with pytest.raises(framefeed.UnsupportedError):
        np.asarray(video)


def test_a_tensor_is_indexed_and_reckoned_with_as_an_array(make_loader: Make) -> None:
    batch = next(iter(make_loader(dtype="float32")))
    video, array = batch["video"], batch["video"].numpy()
    assert video.ndim == 5 and len(video) == 3
    for key in (0, -1, slice(1, None), (0, ..., 2), [0, 2], np.array([1]), array > 0.5):
        assert np.array_equal(video[key], array[key])
    assert video[1:].ctypes.data == array[1:].ctypes.data, "a view, no copy"
    assert all(np.array_equal(row, array[n]) for n, row in enumerate(video))
    other = array + 1
    for left, right in ((video, other), (other, video), (video, 2), (2, video), (video, video)):
        plain = [x.numpy() if x is video else x for x in (left, right)]
        for operator in (lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b, lambda a, b: a == b, lambda a, b: a < b):
            assert np.array_equal(operator(left, right), operator(*plain))
    with np.errstate(divide="ignore", invalid="ignore"):
        assert np.array_equal(1 / video, 1 / array) and np.array_equal(2**video, 2**array)
        assert np.array_equal(5 % video, 5 % array, equal_nan=True) and np.array_equal(video // 0.3, array // 0.3)
    assert np.array_equal(-video, -array) and np.array_equal(abs(-video), abs(array))
    assert np.array_equal(video @ np.ones((48, 2)), array @ np.ones((48, 2)))
    video[0] = 7
    assert (array[0] == 7).all()
    assert video in {video} and (video != array).sum() == 0
    with pytest.raises(IndexError):
        video[3]


def test_a_tensor_is_torchs_over_the_same_memory(make_loader: Make) -> None:
    torch = pytest.importorskip("torch")
    for dtype in ("uint8", "bfloat16"):
        video = next(iter(make_loader(dtype=dtype)))["video"]
        tensor = video.torch()
        assert tensor.dtype == getattr(torch, dtype) and tensor.shape == video.shape
        assert tensor.data_ptr() == torch.from_dlpack(video).data_ptr()
