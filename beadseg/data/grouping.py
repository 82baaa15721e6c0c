"""Which files stay on one side of the split: as given, and crops of one frame."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from beadseg.data.frames import frame_of, joined
from beadseg.data.samples import Sample
from beadseg.data.settings_file import BeadsToml
from beadseg.errors import BeadsegError
from beadseg.quoting import counted


def given_groups(pattern: str, settings: BeadsToml) -> Callable[[str], str]:
    """From a stem to its group: of beads.toml, else of the pattern, else itself.

    Raises:
      BeadsegError: the pattern (`data.group_pattern`) is no regular expression, or has
        no group.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise BeadsegError(
            f"data.group_pattern {pattern!r} is not a regular expression: {error}"
        ) from None
    if pattern and not compiled.groups:
        raise BeadsegError(
            f"data.group_pattern {pattern!r} has no group: put the part of the file "
            "name that files share in parentheses"
        )

    def group_of(stem: str) -> str:
        if stem in settings.group:
            return settings.group[stem]
        match = compiled.search(stem) if pattern else None
        return (match and match.group(1)) or stem

    return group_of


def keep_frames_together(
    samples: Sequence[Sample],
    given: Callable[[str], bool],
    neighbours: Sequence[tuple[str, str]],
) -> tuple[list[Sample], str | None]:
    """Samples of which crops of one frame have one group, and a remark.

    Args:
      given: whether somebody has said what group a source is of.
      neighbours: pairs of names whose images go on in each other.
    """
    names = Counter(
        frame_of(source)
        for source in {s.source for s in samples if not given(s.source)}
    )
    groups = []
    for sample in samples:
        frame = frame_of(sample.source)
        free = not given(sample.source)
        several = free and frame is not None and names[frame] > 1
        groups.append(frame if several else sample.group)
    by_name = sum(new != s.group for new, s in zip(groups, samples, strict=True))
    first = {group: groups.index(group) for group in set(groups)}
    at = {sample.name: i for i, sample in enumerate(samples)}
    links = [(first[group], i) for i, group in enumerate(groups)]
    links += [
        (at[a], at[b])
        for a, b in neighbours
        if not (given(samples[at[a]].source) or given(samples[at[b]].source))
    ]
    groups = [groups[i] for i in joined(len(samples), links)]
    changed = [
        replace(sample, group=group)
        for sample, group in zip(samples, groups, strict=True)
    ]
    before = {s.group for s in samples if s.labelled}
    after = {s.group for s in changed if s.labelled}
    if len(after) == len(before) and after <= before:
        return list(samples), None
    if len(after) < 2 <= len(before):
        return list(samples), (
            f"all labelled images are crops of one frame, such as {samples[0].name} "
            f"and {samples[-1].name}: none can be kept apart for validation, which "
            "will say little about other frames; add images of another frame"
        )
    size = Counter(s.group for s in changed if s.labelled)
    frames = [group for group, number in size.items() if number > 1]
    some = [s.name for s in changed if s.labelled and s.group == frames[0]]
    how = "by their names" if by_name else "by edges that go on"
    return changed, (
        f"crops of one frame stay on one side of the split: "
        f"{counted(sum(size[f] for f in frames), 'image')} of "
        f"{counted(len(frames), 'frame')} ({how}), such as {some[0]} and {some[1]}; "
        "name groups in beads.toml or with data.group_pattern to have it otherwise"
    )
