"""Nothing here is timed: a busy machine is no failure."""

import hypothesis

hypothesis.settings.register_profile("busy-machine", deadline=None)
hypothesis.settings.load_profile("busy-machine")
