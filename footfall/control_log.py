"""The control records of a live run: kept with its state, which a restart goes by, and told to the cluster.

A record counts once the state has it. The topic follows, as soon as the cluster takes it; so a run that was killed in
between writes to the topic when it starts again.
"""

import time
from collections.abc import Callable

from footfall.control_record import ControlRecord
from footfall.control_topic import ControlTopic
from footfall.errors import BrokerError, ControlError, FootfallError, SourceError, StateError
from footfall.state_folder import StateFolder

_AGAIN_SECONDS = 10.0


class ControlLog:
    """The records of one run, in their order.

    Args:
        state: where they are kept.
        topic: where they are told; None for nowhere.
        clock: the time in seconds, which never goes back.

    Raises:
        StateError: what is kept is damaged.
    """

    def __init__(
        self, state: StateFolder, topic: ControlTopic | None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._state = state
        self._topic = topic
        self._clock = clock
        self._due = clock()
        self.records, self._published = state.controls()

    def earlier(self) -> tuple[ControlRecord, ...]:
        """What the topic has of runs before this one; nothing where it can't be read.

        Raises:
            BrokerError: Kafka can't be asked.
        """
        try:
            return () if self._topic is None else tuple(self._topic.read_all())
        except ControlError:
            return ()  # it was written by another version, or by something else
        except SourceError as error:
            raise BrokerError(str(error), code="_TIMED_OUT", retriable=True) from error

    def add(self, record: ControlRecord) -> None:
        """Keep one more record; it is durable when this returns.

        Raises:
            StateError: it can't be kept, and doesn't count.
        """
        records = (*self.records, record)
        self._state.keep_controls(records, self._published)
        self.records = records
        self._due = self._clock()

    def publish(self) -> FootfallError | None:
        """Write what the topic hasn't got yet, if it is time to try; what is in the way."""
        if self._topic is None or self._published == len(self.records) or self._clock() < self._due:
            return None
        known = self._published
        problem: FootfallError | None = None
        try:
            while self._published < len(self.records):
                self._topic.write(self.records[self._published])
                self._published += 1
        except (BrokerError, ControlError) as error:
            self._due = self._clock() + _AGAIN_SECONDS
            problem = error
        if self._published > known:
            try:
                self._state.keep_controls(self.records, self._published)
            except StateError as error:
                problem = problem or error  # a restart writes them again, which changes nothing
        return problem
