"""`footfall simulate`: traffic into files, or as it would come into a topic."""

import argparse
from pathlib import Path
from typing import Any

from footfall.cli_flags import add_settings, chosen_settings
from footfall.duration import parse_duration
from footfall.errors import UsageError

_DONE = 0
_NOT_OF_LIVES = ("rate", "bots", "clock_errors", "late")
_EXAMPLES = """\
examples:
  footfall simulate day.ndjson --visitors 2000            a day, and beside it day.plants.ndjson
  footfall simulate parts/ --partitions 4 --format segment
  footfall simulate kafka://events --kafka broker:9092    as it would come, for a day or until it is stopped
  footfall simulate kafka://events --kafka broker:9092 --rate 40 --speed 60
                                                          2,400 events a second: an hour of the site's in a minute
  footfall simulate lives.ndjson --lives                  visitors over 120 days, and beside it lives.truth.ndjson:
                                                          the true probabilities of what scores predict
  footfall simulate lives.ndjson --lives --change-at 60   from day 60 on, what people do means other things

To a topic, records are made as they go and sent from the first second on; how many and how far behind is shown. At
speed 1 times are the clock's. At a higher speed they run ahead of the clock from now on (or from where the topic's
records end), so that a run that reads the topic sees an hour's wait pass in minutes.
"""


def add_simulate(commands: Any) -> None:
    """Add the command."""
    simulate = commands.add_parser(
        "simulate",
        help="write a site's traffic with planted patterns",
        description="Write a repair shop's traffic as NDJSON in the order of its arrival, and beside it the list of "
        "the patterns planted in it; or send it to a Kafka topic as it would come. With --lives: visitors over "
        "months, and the true probabilities of their orders and of their staying away.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    simulate.add_argument(
        "output",
        help="a file (.ndjson, .gz, .zst), a folder for several partitions, or kafka://TOPIC, sent as it would come",
    )
    simulate.add_argument("--format", choices=("footfall", "segment"), default=None)
    simulate.add_argument(
        "--visitors",
        type=count,
        default=None,
        help="how many (default: 30,000, or more where the rate needs them; with --lives 20,000, who come one by one)",
    )
    simulate.add_argument(
        "--lives",
        action="store_true",
        help="visitors over weeks and months, with the true probabilities of what scores predict",
    )
    simulate.add_argument(
        "--change-at",
        type=count,
        default=None,
        metavar="DAY",
        help="with --lives: after so many days what people do begins to mean other things",
    )
    simulate.add_argument(
        "--duration",
        type=_duration,
        default=None,
        metavar="DURATION",
        help='such as "2 h" (default: 1 d; with --lives 120 d)',
    )
    simulate.add_argument(
        "--rate",
        type=float,
        default=None,
        help="events per second of the site's time, about, on average; there are fewer at night (default: each visitor "
        "makes 1.4 visits a day)",
    )
    simulate.add_argument(
        "--speed",
        type=float,
        default=None,
        metavar="N",
        help="to a topic: N times as fast as the clock (default: 1)",
    )
    simulate.add_argument("--seed", type=int, default=None)
    simulate.add_argument("--partitions", type=count, default=None, help="of a folder; a topic has its own")
    for name, about in (
        ("bots", "share of visitors that are robots"),
        ("dirty", "malformed records, as a share of the good ones"),
        ("clock-errors", "share of visitors whose clock is wrong"),
        ("duplicates", "copies, as a share of the records"),
        ("late", "share of events that come more than a minute late"),
    ):
        simulate.add_argument(f"--{name}", type=float, default=None, metavar="SHARE", help=about)
    simulate.add_argument("--json", action="store_true", help="print what was written or sent as JSON")
    add_settings(simulate, ("kafka", "kafka_properties"))
    simulate.set_defaults(command=_simulate)


def count(text: str) -> int:
    """A whole number above 0, as a flag's value.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    digits = text.replace("_", "")
    if not digits.isdecimal() or int(digits) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no count; write a whole number, 1 or more")
    return int(digits)


def _duration(text: str) -> int:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _simulate(arguments: argparse.Namespace) -> int:
    chosen = {
        name: getattr(arguments, name)
        for name in (
            "format", "visitors", "duration", "rate", "seed", "partitions",
            "bots", "dirty", "clock_errors", "duplicates", "late",
        )
        if getattr(arguments, name) is not None
    }  # fmt: skip
    if arguments.lives:
        return _simulate_lives(arguments, chosen)
    if arguments.change_at is not None:
        raise UsageError("--change-at is for lives; add --lives")
    if arguments.output.startswith("kafka://"):
        from footfall.simulate_to_kafka import kafka_topic  # noqa: PLC0415 - what isn't used needn't load
        from footfall.simulate_topic_command import send_traffic  # noqa: PLC0415

        topic = kafka_topic(arguments.output) or ""
        if arguments.partitions is not None:
            raise UsageError("--partitions is for a folder; a topic has the partitions that it was made with")
        settings = chosen_settings(arguments, ("kafka", "kafka_properties"))
        speed = 1.0 if arguments.speed is None else arguments.speed
        return send_traffic(chosen, settings, topic, speed=speed, as_json=arguments.json)
    if arguments.speed is not None:
        raise UsageError(
            "--speed is for a topic, as in kafka://events; a file is written as fast as it can be"
        )
    from footfall.simulate_command import write_traffic  # noqa: PLC0415

    write_traffic(chosen, Path(arguments.output), as_json=arguments.json)
    return _DONE


def _simulate_lives(arguments: argparse.Namespace, chosen: dict[str, Any]) -> int:
    if arguments.output.startswith("kafka://"):
        raise UsageError("--lives is written to files, not to a topic; name a file or a folder")
    strange = [name for name in (*_NOT_OF_LIVES, "speed") if getattr(arguments, name) is not None]
    if strange:
        flags = ", ".join("--" + name.replace("_", "-") for name in strange)
        raise UsageError(f"{flags}: not with --lives; leave it out")
    if arguments.change_at is not None:
        chosen["change_at"] = arguments.change_at
    from footfall.simulate_command import write_lives  # noqa: PLC0415 - what isn't used needn't load

    write_lives(chosen, Path(arguments.output), as_json=arguments.json)
    return _DONE
