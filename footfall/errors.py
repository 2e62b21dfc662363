"""The errors that Footfall raises, under one root.

Each error says what is wrong, where (file, line, offset, field) and what to do. Facts are attributes, so that
a program can act on them; the message is for people. Bad input is no error: it becomes a dead letter.
"""

from collections.abc import Sequence


class FootfallError(Exception):
    """Root of every error that Footfall raises itself.

    Attributes:
        exit_code: what the command line exits with when this error ends it (1: the run failed, 2: wrong usage).
    """

    exit_code = 1


class UsageError(FootfallError):
    """The command, a flag or an input path is wrong; nothing was started."""

    exit_code = 2


class SettingsError(UsageError):
    """One or more settings are wrong; all of them are in `problems`, one line each, secrets left out."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        head = "1 setting is wrong" if count == 1 else f"{count} settings are wrong"
        super().__init__("\n".join([f"{head}:", *(f"  - {problem}" for problem in self.problems)]))


class PatternError(UsageError):
    """A pattern is not well formed, or doesn't fit the event schema.

    Attributes:
        pattern: the pattern's name, or the file that should define it.
        stage: the stage's name, where one is to blame.
    """

    def __init__(self, message: str, *, pattern: str, stage: str | None = None) -> None:
        self.pattern = pattern
        self.stage = stage
        where = f"pattern {pattern!r}" + (f", stage {stage!r}" if stage else "")
        super().__init__(f"{where}: {message}")


class ExpressionError(UsageError):
    """A condition is not well formed, or doesn't fit the event schema; a pattern turns it into its own."""


class TriggerRuleError(UsageError):
    """A trigger rule won't do; all that is wrong with it is in `problems`, each with its field.

    Attributes:
        rule: the rule's name, as far as it has one.
        problems: what is wrong, as "field: what, and what to do".
        pattern: the pattern that the rule names, where that is known; whether it is there isn't looked at.
    """

    def __init__(self, problems: Sequence[str], *, rule: str, pattern: str | None = None) -> None:
        self.rule = rule
        self.pattern = pattern
        self.problems = tuple(problems)
        super().__init__("\n".join(self.lines))

    @property
    def lines(self) -> tuple[str, ...]:
        """The problems, each with the rule's name."""
        return tuple(f"rule {self.rule!r}, {problem}" for problem in self.problems)


class FeatureError(UsageError):
    """A feature or a model of scores is declared wrongly."""


class TopicsFileError(UsageError):
    """A file of topics is wrong; all that is wrong is in `problems`, each with its line where one is known."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        head = "1 problem in the topics file" if count == 1 else f"{count} problems in the topics file"
        super().__init__("\n".join([f"{head}:", *(f"  - {problem}" for problem in self.problems)]))


class PatternFilesError(UsageError):
    """Pattern or case files are wrong; all that is wrong is in `problems`, each with file and line."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        head = "1 problem in the pattern files" if count == 1 else f"{count} problems in the pattern files"
        super().__init__("\n".join([f"{head}:", *(f"  - {problem}" for problem in self.problems)]))


class MatchError(FootfallError):
    """A match can't be handed out as its pattern asks: its skip strategy must hit a stage, and can't.

    Attributes:
        pattern: the pattern's name.
    """

    def __init__(self, message: str, *, pattern: str) -> None:
        self.pattern = pattern
        super().__init__(f"pattern {pattern!r}: {message}")


class SourceError(FootfallError):
    """An input can't be read (any further).

    Attributes:
        source: the file, or the name of the stream.
        line: 1-based line at which reading stopped, where one is known.
    """

    def __init__(self, message: str, *, source: str, line: int | None = None) -> None:
        self.source = source
        self.line = line
        where = source if line is None else f"{source}, line {line}"
        super().__init__(f"{where}: {message}")


class BrokerError(FootfallError):
    """Kafka can't be reached, or refuses what was asked.

    Attributes:
        code: Kafka's name for it, as `TOPIC_AUTHORIZATION_FAILED`.
        retriable: the same request may succeed later.
    """

    def __init__(self, message: str, *, code: str, retriable: bool) -> None:
        self.code = code
        self.retriable = retriable
        super().__init__(message)


class ControlError(FootfallError):
    """A control record isn't one, can't be used by this version of Footfall, or can't be read or written.

    Attributes:
        where: the place it was read from or was to be written to, such as a topic and an offset.
    """

    def __init__(self, message: str, *, where: str) -> None:
        self.where = where
        super().__init__(f"{where}: {message}")


class StateError(FootfallError):
    """A run's state folder belongs to another run, another version, or is damaged."""


class StoreError(FootfallError):
    """ClickHouse can't be opened, migrated, written or asked.

    Attributes:
        code: ClickHouse's own error code, where it gave one.
    """

    def __init__(self, message: str, *, code: int | None = None) -> None:
        self.code = code
        super().__init__(message)


class StoreBusyError(StoreError):
    """The embedded store's folder is open in another process; `owner` says which, as far as it is known."""

    def __init__(self, message: str, *, owner: str | None = None) -> None:
        self.owner = owner
        super().__init__(message)


class MissingStoreError(StoreError):
    """A store that is to be read isn't there; nothing was started."""

    exit_code = 2


class StoreUnavailableError(StoreError):
    """The store can't be reached or is overloaded just now; the same request may succeed later."""


class UnknownHostError(StoreUnavailableError):
    """No name server knows the store's host: a name that is wrong, or one that is yet to be made known."""


class SinkError(FootfallError):
    """A sink can't take or keep rows: they don't fit the table, or its place can't be written.

    Attributes:
        table: the table's name, where one is to blame.
    """

    def __init__(self, message: str, *, table: str | None = None) -> None:
        self.table = table
        super().__init__(message if table is None else f"table {table}: {message}")


class RestartError(SinkError):
    """A sink can't go on in this process, but workers that start again from the last snapshot may: nothing is lost."""

    exit_code = 75


class SpoolDamageError(SinkError):
    """A file of a spool isn't as it was written, at a place that was safe on disk.

    Attributes:
        file: the file's path.
        offset: the byte at which the damaged record begins.
    """

    def __init__(self, message: str, *, file: str, offset: int) -> None:
        self.file = file
        self.offset = offset
        super().__init__(f"{file}, byte {offset}: {message}")


class WebhookSignatureError(FootfallError):
    """A webhook's request isn't signed with the secret that it should be, or not lately."""


class RunError(FootfallError):
    """A run could not go on; its state, if it keeps one, is that of its last snapshot."""
