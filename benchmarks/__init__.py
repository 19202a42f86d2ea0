"""Retrieval beside its peers, in one run: ``python -m benchmarks`` (``make bench``).

Strategy: a Dovecot of our own serves mailboxes that are generated the same way every time; every contender keeps
every mail in files; rounds are interleaved and ratios taken round by round, because a shared machine drifts. The
reference is a reader that pipelines and parses nothing: what is faster than that did not read the mail.

``docs/benchmarks.md`` has the method in words and the figures of one full run.
"""
