#!/bin/sh
# arrow: on the night on which clocks are put back, shift(minutes=0) and floor("minute") take a time to one that is an hour earlier.
#
# One expects that a shift by nothing changes nothing, and that the floor of a minute is less than a minute away. Both drop the mark of
# the second half past two (fold=1), which arrow keeps otherwise. On the night on which clocks are put forward, one hour later and two
# hours later are the same moment, so a loop over shift(hours=n) does something twice; in autumn two hours are three. Hours and
# minutes are moved on the clock, as days are, of which the docstring of shift says nothing. pendulum has each right. arrow 1.4.0,
# pendulum 3.3.0.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check arrow==1.4.0 pendulum==3.3.0 tzdata==2026.6
cat > ask.py <<'END'
import arrow
import pendulum

BERLIN = "Europe/Berlin"


def minutes(later, earlier):
    return (later.timestamp() - earlier.timestamp()) / 60


second = arrow.get(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=1)
before_gap = arrow.get(2026, 3, 29, 1, 30, tzinfo=BERLIN)
before_fold = arrow.get(2026, 10, 25, 1, 30, tzinfo=BERLIN)
by_arrow = {
    "the second 02:30, shift(minutes=0)": minutes(second.shift(minutes=0), second),
    'the second 02:30, floor("minute")': minutes(second.floor("minute"), second),
    "01:30 in spring, shift(hours=1)": minutes(before_gap.shift(hours=1), before_gap),
    "01:30 in spring, shift(hours=2)": minutes(before_gap.shift(hours=2), before_gap),
    "01:30 in autumn, shift(hours=2)": minutes(before_fold.shift(hours=2), before_fold),
}
second, before_gap, before_fold = (pendulum.instance(time.datetime) for time in (second, before_gap, before_fold))
by_pendulum = [
    minutes(second.add(minutes=0), second),
    minutes(second.start_of("minute"), second),
    minutes(before_gap.add(hours=1), before_gap),
    minutes(before_gap.add(hours=2), before_gap),
    minutes(before_fold.add(hours=2), before_fold),
]
for (what, moved), right in zip(by_arrow.items(), by_pendulum, strict=True):
    print(f"{what:36} moves by {moved:6.0f} minutes; pendulum: {right:4.0f}")
assert list(by_arrow.values()) == [-60, -60, 60, 60, 180], by_arrow
assert by_pendulum == [0, 0, 60, 120, 120], by_pendulum
END
venv/bin/python ask.py
