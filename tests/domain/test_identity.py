"""What a provider's word is worth, rule by rule; what comes over the wire is attacked in `tests/attacks`."""

from datetime import UTC, datetime, timedelta

import pytest

from domain.directory import Account, AnotherIdentityLinked, InvitationOver, evolve_account
from domain.facts import Factor, IdentityInvited, IdentityProviderAdded, LinkedBy, ProviderKind, Role
from domain.identity import (
    SKEW,
    AnswerRefused,
    Expected,
    Proof,
    Provider,
    ProviderIsFixed,
    ProviderIsRemoved,
    ProviderState,
    domain_of,
    evolve_provider,
    may_link,
    proof_of,
)
from domain.kernel import replay
from domain.requirement import LoginStep, Requirement, Why, login_step
from domain.user_mfa import UserMFA

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
PROVIDER = Provider("idp", "par", ProviderKind.OPENID, "Issuer", "https://issuer.example", "us", rank=2)
ADDED = IdentityProviderAdded(
    partner_id="par",
    kind=ProviderKind.OPENID,
    name="Issuer",
    issuer="https://issuer.example",
    client_id="us",
    restricted_to="",
    rank=3,
)
CLAIMS = {
    "iss": PROVIDER.issuer,
    "aud": "us",
    "nonce": "n",
    "sub": "s",
    "iat": NOON.timestamp(),
    "exp": NOON.timestamp() + 9,
}


@pytest.mark.parametrize("off", [timedelta(), SKEW, -SKEW])
def test_clocks_may_be_a_minute_off_and_no_more(off: timedelta) -> None:
    at = NOON + off
    assert proof_of(PROVIDER, CLAIMS, Expected(at, "n")).subject == "s"
    if off:
        beyond = at + (timedelta(seconds=10) if off > timedelta() else timedelta(seconds=-1))
        with pytest.raises(AnswerRefused):
            proof_of(PROVIDER, CLAIMS, Expected(beyond, "n"))


@pytest.mark.parametrize("auth_time", [None, True, "1", NOON.timestamp() - 61])
def test_who_was_to_sign_in_anew_has_to_have_done_so(auth_time: object) -> None:
    claims = CLAIMS | ({} if auth_time is None else {"auth_time": auth_time})
    with pytest.raises(AnswerRefused):
        proof_of(PROVIDER, claims, Expected(NOON, "n", since=NOON))
    assert proof_of(PROVIDER, claims | {"auth_time": NOON.timestamp()}, Expected(NOON, "n", since=NOON)).subject == "s"


def test_what_a_provider_says_beside_the_subject_is_kept_only_in_plain_words() -> None:
    claims = CLAIMS | {"amr": ["pwd", "a b", "<b>", 5, "x" * 30], "acr": "some body@mail.example"}
    proof = proof_of(PROVIDER, claims, Expected(NOON, "n"))
    assert (proof.amr, proof.acr) == ("pwd 5", "")


@pytest.mark.parametrize(
    ("address", "domain"),
    [("a@Mail.Example", "mail.example"), ("a@b@mail.example", ""), ("a@mail.example ", ""), ("ä@mail.example", "")],
)
def test_the_domain_of_an_address_is_that_of_a_plain_address_alone(address: str, domain: str) -> None:
    assert domain_of(address) == domain


def test_a_verified_address_links_at_the_own_partner_in_a_proved_domain_and_not_upwards() -> None:
    proof, proved = Proof("s", "s", mail_address="a@mail.example"), frozenset({"mail.example"})
    assert may_link(PROVIDER, proof, partner_id="par", role=Role.SUPER_ADMIN, domains=proved)
    assert not may_link(PROVIDER, proof, partner_id="par", role=Role.OWNER, domains=proved)
    assert not may_link(PROVIDER, proof, partner_id="other", role=Role.END_USER, domains=proved)
    assert not may_link(PROVIDER, proof, partner_id="par", role=Role.END_USER, domains=frozenset({"le.example"}))
    assert not may_link(PROVIDER, Proof("s", "s"), partner_id="par", role=Role.END_USER, domains=frozenset({""}))


def test_a_provider_stays_what_it_was_added_as() -> None:
    state = replay(evolve_provider, ProviderState(), ProviderState().add(ADDED))
    assert state.add(ADDED) == []
    with pytest.raises(ProviderIsFixed):
        state.add(ADDED.model_copy(update={"issuer": "https://other.example"}))
    credited = replay(evolve_provider, state, state.credit(mfa=True))
    assert (credited.credits_mfa, credited.credit(mfa=True)) == (True, [])
    gone = replay(evolve_provider, credited, credited.remove())
    assert gone.remove() == []
    with pytest.raises(ProviderIsRemoved):
        gone.add(ADDED)


def test_an_account_has_one_identity_of_a_provider_and_an_invitation_works_once() -> None:
    invited = IdentityInvited(provider_id="idp", invitation_id="inv", expires_at=NOON)
    account = replay(evolve_account, Account(), Account().invite(invited))
    assert account.invited("inv", NOON) == invited
    with pytest.raises(InvitationOver):
        account.invited("inv", NOON + timedelta(seconds=1))
    linked = replay(evolve_account, account, account.link("idp", "digest", LinkedBy.INVITATION))
    assert linked.link("idp", "digest", LinkedBy.SESSION) == []
    with pytest.raises(AnotherIdentityLinked):
        linked.link("idp", "another", LinkedBy.SESSION)
    with pytest.raises(InvitationOver):
        linked.invited("inv", NOON)
    assert replay(evolve_account, linked, linked.unlink("idp")).identities == {}


def test_a_credited_sign_in_needs_no_code_and_no_set_up() -> None:
    required = Requirement(required=True, why=Why.ENFORCED_FOR_PARTNER_USERS, policy_version=1)
    for mfa in (UserMFA(), UserMFA(factor=Factor.ACTIVE)):
        assert login_step(mfa, required, credited=True) is LoginStep.DASHBOARD
        assert login_step(mfa, required) is not LoginStep.DASHBOARD
