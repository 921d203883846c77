"""The time of a replay, on a wall clock that the test turns by hand."""

from __future__ import annotations

import threading

from mono3d_kd_ros.player.playback import Playback

SECOND = 1_000_000_000


class Wall:
    """A steady clock that stands where it is set."""

    def __init__(self) -> None:
        self.time = 500 * SECOND

    def __call__(self) -> int:
        return self.time


def test_time_follows_the_wall_clock_at_the_rate() -> None:
    wall = Wall()
    playback = Playback(rate=2.0, steady=wall)
    playback.start(10 * SECOND)
    wall.time += 3 * SECOND
    assert playback.now == 16 * SECOND
    playback.set_rate(0.5)
    wall.time += 4 * SECOND
    assert playback.now == 18 * SECOND


def test_time_stands_still_while_paused() -> None:
    wall = Wall()
    playback = Playback(steady=wall)
    playback.start(0)
    wall.time += SECOND
    playback.pause()
    wall.time += 100 * SECOND
    assert playback.now == SECOND
    playback.resume()
    wall.time += SECOND
    assert playback.now == 2 * SECOND


def test_what_is_due_does_not_wait() -> None:
    playback = Playback(steady=Wall())
    playback.start(5 * SECOND)
    assert playback.wait_until(5 * SECOND)
    assert playback.wait_until(3 * SECOND)


def test_a_step_lets_one_message_through_and_moves_the_time_to_it() -> None:
    playback = Playback(paused=True, steady=Wall())
    playback.start(0)
    assert playback.step()
    assert playback.wait_until(7 * SECOND)
    assert playback.now == 7 * SECOND
    assert playback.paused
    waiting = threading.Thread(target=playback.wait_until, args=(8 * SECOND,))
    waiting.start()
    waiting.join(0.1)
    assert waiting.is_alive()
    playback.stop()
    waiting.join(5)
    assert not waiting.is_alive()


def test_there_is_no_step_while_it_plays() -> None:
    assert not Playback(steady=Wall()).step()


def test_after_a_stop_nothing_is_due() -> None:
    playback = Playback(steady=Wall())
    playback.stop()
    assert not playback.wait_until(0)
