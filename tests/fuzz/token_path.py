"""A target of libFuzzer's: the way of a token through the decision. ``make fuzz`` runs it.

The program's options are libFuzzer's. The tests beside it do the same with changes drawn at random.
"""

import sys

import atheris

with atheris.instrument_imports(include=["sidecar", "joserfc", "json"]):
    from tests.fuzz.judging import Judge, read_corpus, try_octets


def main() -> None:
    judge = Judge(read_corpus())
    atheris.Setup(sys.argv, lambda data: try_octets(judge, data))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
