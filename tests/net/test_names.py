"""Addresses that stand in place of a name."""

from __future__ import annotations

import pytest

from ehlo.net.intents import Family
from ehlo.net.names import LookupFailedError, resolve


@pytest.mark.parametrize(("host", "family"), [("127.0.0.1", "any"), ("127.0.0.1", "ipv4"), ("::1", "ipv6")])
def test_an_address_is_its_own(host: str, family: Family) -> None:
    assert [address.host for address in resolve(host, 25, family)] == [host]


@pytest.mark.parametrize(("host", "family"), [("127.0.0.1", "ipv6"), ("::1", "ipv4")])
def test_an_address_of_the_other_family_is_none(host: str, family: Family) -> None:
    with pytest.raises(LookupFailedError) as failure:
        resolve(host, 25, family)
    assert failure.value.error == "no-address"
