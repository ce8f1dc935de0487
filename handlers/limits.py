"""How often what may be tried: numbers of the product's security design, section 4, unless another source is named."""

from datetime import timedelta

from handlers.ports import Limit

_HALF_HOUR = timedelta(minutes=30)
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)

PASSWORD_ON_DEVICE = Limit("password_on_device", 10, _HALF_HOUR, wait=_HALF_HOUR, longest_wait=_DAY)
"""Wrong passwords of one address from one device that has signed in before. OWASP Device Cookies."""
PASSWORD_ELSEWHERE = Limit("password_elsewhere", 10, _HALF_HOUR, wait=_HALF_HOUR, longest_wait=_DAY)
"""Wrong passwords of one address from all unknown devices together."""
PASSWORD_IN_A_ROW = Limit("password_in_a_row", 100, None)
"""Wrong passwords of one address without a right one; then unknown devices wait for the mailed link."""
PASSWORD_BY_NETWORK = Limit("password_by_network", 30, timedelta(minutes=5))
"""Wrong passwords from one IPv4 address or IPv6 /64."""
PASSWORD_BY_NETWORK_DAILY = Limit("password_by_network_daily", 300, _DAY)

RESET_ASKED = Limit("reset_asked", 3, _HOUR)
"""Reset mails for one account, the fourth is answered the same and not sent."""
RESET_ASKED_DAILY = Limit("reset_asked_daily", 10, _DAY)
RESET_ASKED_BY_NETWORK = Limit("reset_asked_by_network", 10, _HOUR)
RESET_BY_ACTOR = Limit("reset_by_actor", 20, _HOUR)
"""Resets of others by one administrator, or by one service token at one partner."""
RESET_OF_TARGET = Limit("reset_of_target", 3, _HOUR)
"""Resets of one account by all administrators."""
LINK_BY_NETWORK = Limit("link_by_network", 20, _HOUR)
"""Secrets of mailed links from one network."""

PROVIDER_ANSWERS = Limit("provider_answers", 30, timedelta(minutes=5))
"""Answers of identity providers from one network that led nowhere. Ours: as many as wrong passwords."""
PROVIDER_TRIPS = Limit("provider_trips", 1000, timedelta(minutes=5))
"""Sign-ins from one network that are away at identity providers. Ours: a large office in the morning, and no flood of rows."""

SETUPS = Limit("setups", 20, _HOUR)
"""Shown keys of one account. Ours: enough for a clumsy afternoon, and the log does not swell."""
REFUSALS_RECORDED = Limit("refusals_recorded", 60, _HOUR)
"""Refused attempts of one account that are kept as facts. Ours: a loop is seen, and the log does not swell."""
READS_RECORDED = Limit("reads_recorded", 1, timedelta(minutes=1))
"""Looks of one kind by one account that are kept as facts. Ours: who looked when is known to the minute."""
