"""The practice range: embedded servers and letters, for this package's tests, its demo and its users' own tests.

Nothing here imports ``pop3``: an oracle that shares the parser shares its bugs. Needs the extra ``testing``.
"""
