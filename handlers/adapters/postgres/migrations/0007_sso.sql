-- Sign-in by identity providers. What facts say is folded in their own transaction: providers, domains, links.
CREATE TABLE identity_provider (
    provider_id   text PRIMARY KEY,
    partner_id    text NOT NULL REFERENCES partner_access,
    kind          text NOT NULL,
    name          text NOT NULL,
    issuer        text NOT NULL,
    client_id     text NOT NULL,
    restricted_to text NOT NULL,
    rank          integer NOT NULL,
    credits_mfa   boolean NOT NULL DEFAULT false
);
CREATE INDEX ON identity_provider (partner_id);
CREATE TABLE proved_domain (
    domain     text NOT NULL,
    partner_id text NOT NULL REFERENCES partner_access,
    PRIMARY KEY (domain, partner_id)
);
CREATE INDEX ON proved_domain (partner_id);
CREATE TABLE identity_link (
    provider_id    text NOT NULL REFERENCES identity_provider,
    subject_digest text NOT NULL,
    account_id     text NOT NULL REFERENCES account_access,
    PRIMARY KEY (provider_id, subject_digest, account_id),
    UNIQUE (account_id, provider_id)
);

-- A provider's client secret, sealed under a data key of its own.
CREATE TABLE client_secret (
    provider_id text PRIMARY KEY REFERENCES identity_provider,
    sealed      bytea NOT NULL,
    wrapped     bytea NOT NULL,
    kek_version integer NOT NULL
);

-- Sign-ins that are away at a provider: each used once, in the browser that began it. Only a hash of the state is kept;
-- nonce and PKCE verifier are derived from the state and the root key.
CREATE TABLE authorization_request (
    state_hash  text PRIMARY KEY,
    handle      text NOT NULL,
    provider_id text NOT NULL REFERENCES identity_provider,
    purpose     text NOT NULL,
    link_id     text NOT NULL,
    back        text NOT NULL,
    asked_at    timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL
);
CREATE INDEX ON authorization_request (handle);
CREATE INDEX ON authorization_request (expires_at);

-- What a provider said at a sign-in, by the sign-in's handle, for as long as that can last.
CREATE TABLE provider_session (
    handle          text PRIMARY KEY,
    provider_id     text NOT NULL REFERENCES identity_provider,
    subject_digest  text NOT NULL,
    sub_digest      text NOT NULL,
    sid_digest      text NOT NULL,
    amr             text NOT NULL,
    acr             text NOT NULL,
    credited        boolean NOT NULL,
    opened_at       timestamptz NOT NULL,
    expires_at      timestamptz NOT NULL,
    confirmed_until timestamptz
);
CREATE INDEX ON provider_session (provider_id, sid_digest);
CREATE INDEX ON provider_session (provider_id, sub_digest);
CREATE INDEX ON provider_session (expires_at);

-- Logout tokens that were honoured, until they would be too old anyway.
CREATE TABLE logout_token (
    jti_digest text PRIMARY KEY,
    expires_at timestamptz NOT NULL
);
