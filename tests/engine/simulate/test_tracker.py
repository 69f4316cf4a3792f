"""Live bytes by phase and category, against sums that can be made by hand."""

import torch

from engine.simulate.tracker import MemoryTracker

SIZE = 1000
BYTES = SIZE * SIZE * 4


def test_phases_have_their_worst_moments_and_leave_what_they_leave() -> None:
    with MemoryTracker() as tracker:
        with tracker.phase("update"):
            kept = torch.zeros(SIZE, SIZE)
            passing = kept + 1
            del passing
        with tracker.phase("step"):
            kept.add_(1)
    peaks = tracker.peaks("cpu")
    assert (peaks["update"].bytes, peaks["update"].resident) == (2 * BYTES, BYTES)
    assert (peaks["step"].bytes, peaks["step"].resident) == (BYTES, BYTES)


def test_views_are_not_counted_again_and_marks_last() -> None:
    with MemoryTracker() as tracker, tracker.phase("update"):
        kept = torch.zeros(SIZE, SIZE)
        view = kept[: SIZE // 2]
        tracker.mark("parameters", [view])
        other = torch.ones(SIZE, SIZE)
    peak = tracker.peaks("cpu")["update"]
    assert peak.categories == {"parameters": BYTES, "temporaries": BYTES}
    assert sum(peak.makers.values()) == other.nbytes


def test_a_storage_that_is_emptied_and_filled_counts_as_it_is() -> None:
    with MemoryTracker() as tracker:
        with tracker.phase("update"):
            kept = torch.zeros(SIZE, SIZE)
            kept.untyped_storage().resize_(0)
        with tracker.phase("step"):
            kept.untyped_storage().resize_(BYTES)
    peaks = tracker.peaks("cpu")
    assert (peaks["update"].bytes, peaks["update"].resident) == (BYTES, 0)
    assert (peaks["step"].bytes, peaks["step"].resident) == (BYTES, BYTES)


def test_backward_passes_tell_what_made_a_gradient() -> None:
    layer = torch.nn.Linear(SIZE, SIZE, bias=False)
    with MemoryTracker() as tracker:
        tracker.see(layer.parameters())
        with tracker.phase("update"):
            layer(torch.ones(1, SIZE)).sum().backward()
            tracker.mark("gradients", [p.grad for p in layer.parameters()])
    assert tracker.peaks("cpu")["update"].resident_categories["gradients"] == BYTES
