-- Times are milliseconds since 1970, identifiers are text, documents are JSON text.
-- Every table belongs to a tenant.

CREATE TABLE tenants (
    id TEXT NOT NULL PRIMARY KEY,
    created_at BIGINT NOT NULL
);
INSERT INTO tenants (id, created_at) VALUES ('default', 0);

-- Component bytes lie in the data folder, named by digest (SHA-256, hex).
CREATE TABLE components (
    tenant_id TEXT NOT NULL REFERENCES tenants (id),
    digest TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    contract TEXT NOT NULL,
    exports TEXT NOT NULL,
    manifest TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, digest)
);

CREATE TABLE agents (
    tenant_id TEXT NOT NULL REFERENCES tenants (id),
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('enabled', 'disabled', 'broken')),
    -- Why it is broken or disabled, for operators.
    reason TEXT,
    source TEXT NOT NULL CHECK (source IN ('folder', 'api')),
    -- What the operator set: grants, limits, config. Survives new components.
    overrides TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, name)
);

CREATE TABLE agent_versions (
    tenant_id TEXT NOT NULL,
    agent TEXT NOT NULL,
    version BIGINT NOT NULL,
    digest TEXT NOT NULL,
    spec TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, agent, version)
);

CREATE TABLE agent_labels (
    tenant_id TEXT NOT NULL,
    agent TEXT NOT NULL,
    label TEXT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, agent, label)
);

CREATE TABLE subscriptions (
    tenant_id TEXT NOT NULL,
    agent TEXT NOT NULL,
    pattern TEXT NOT NULL,
    wildcard BOOLEAN NOT NULL,
    PRIMARY KEY (tenant_id, agent, pattern)
);
CREATE INDEX subscriptions_by_pattern ON subscriptions (tenant_id, wildcard, pattern);

-- What was last seen in the plugins folder, so that a start looks at names and
-- sizes only.
CREATE TABLE plugin_files (
    tenant_id TEXT NOT NULL,
    name TEXT NOT NULL,
    stamp TEXT NOT NULL,
    digest TEXT,
    error TEXT,
    seen_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, name)
);

CREATE TABLE conversations (
    tenant_id TEXT NOT NULL,
    id TEXT NOT NULL,
    agent TEXT NOT NULL,
    channel TEXT NOT NULL,
    user_id TEXT NOT NULL,
    -- Position of the latest message.
    last_position BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id)
);

CREATE TABLE messages (
    tenant_id TEXT NOT NULL,
    conversation TEXT NOT NULL,
    position BIGINT NOT NULL,
    id TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('user', 'assistant')),
    author_id TEXT,
    author_name TEXT,
    text TEXT NOT NULL,
    turn TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, conversation, position)
);

CREATE TABLE turns (
    tenant_id TEXT NOT NULL,
    id TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('chat', 'event', 'web')),
    agent TEXT NOT NULL,
    -- Filled in when the turn begins to run and pinned from then on.
    version BIGINT,
    digest TEXT,
    limits TEXT,
    conversation TEXT,
    user_id TEXT,
    channel TEXT NOT NULL,
    -- The token that it came by.
    token TEXT,
    status TEXT NOT NULL CHECK (status IN ('queued', 'running', 'waiting', 'completed', 'failed', 'cancelled')),
    -- Seed of the guest's randomness, hex.
    seed TEXT NOT NULL,
    -- Position of the message that it answers.
    position BIGINT,
    input BLOB NOT NULL,
    output BLOB,
    text TEXT,
    error TEXT,
    receipt TEXT,
    created_at BIGINT NOT NULL,
    started_at BIGINT,
    finished_at BIGINT,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX turns_unfinished ON turns (status, created_at) WHERE status IN ('queued', 'running', 'waiting');
CREATE INDEX turns_by_agent ON turns (tenant_id, agent, id);
CREATE INDEX turns_by_conversation ON turns (tenant_id, conversation, id);

CREATE TABLE idempotency_keys (
    tenant_id TEXT NOT NULL,
    token TEXT NOT NULL,
    key TEXT NOT NULL,
    body_hash TEXT NOT NULL,
    turn TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, token, key)
);

CREATE TABLE journal (
    tenant_id TEXT NOT NULL,
    turn TEXT NOT NULL,
    seq BIGINT NOT NULL,
    kind TEXT NOT NULL,
    args_hash TEXT NOT NULL,
    -- begun: the effect may or may not have happened.
    status TEXT NOT NULL CHECK (status IN ('begun', 'done', 'failed')),
    args BLOB NOT NULL,
    result BLOB,
    at BIGINT NOT NULL,
    -- Microseconds the call took.
    took_us BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, turn, seq)
) WITHOUT ROWID;

CREATE TABLE log_lines (
    tenant_id TEXT NOT NULL,
    turn TEXT NOT NULL,
    seq BIGINT NOT NULL,
    level TEXT NOT NULL,
    message TEXT NOT NULL,
    fields TEXT NOT NULL,
    PRIMARY KEY (tenant_id, turn, seq)
) WITHOUT ROWID;

CREATE TABLE state (
    tenant_id TEXT NOT NULL,
    agent TEXT NOT NULL,
    scope TEXT NOT NULL,
    scope_id TEXT NOT NULL,
    key TEXT NOT NULL,
    value BLOB NOT NULL,
    revision TEXT NOT NULL,
    expires_at BIGINT,
    PRIMARY KEY (tenant_id, agent, scope, scope_id, key)
) WITHOUT ROWID;
CREATE INDEX state_expiry ON state (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE events (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id TEXT NOT NULL,
    id TEXT NOT NULL UNIQUE,
    topic TEXT NOT NULL,
    source TEXT NOT NULL,
    data TEXT NOT NULL,
    ordering_key TEXT,
    correlation TEXT,
    priority BIGINT NOT NULL,
    at BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    expires_at BIGINT
);
CREATE INDEX events_by_topic ON events (tenant_id, topic, position);

CREATE TABLE deliveries (
    tenant_id TEXT NOT NULL,
    event_position BIGINT NOT NULL,
    agent TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('pending', 'done', 'dead', 'expired')),
    priority BIGINT NOT NULL,
    ordering_key TEXT,
    attempts BIGINT NOT NULL,
    next_at BIGINT NOT NULL,
    error TEXT,
    turn TEXT,
    PRIMARY KEY (event_position, agent)
) WITHOUT ROWID;
CREATE INDEX deliveries_pending ON deliveries (next_at, priority, event_position) WHERE status = 'pending';
CREATE INDEX deliveries_in_order ON deliveries (tenant_id, agent, ordering_key, event_position) WHERE status = 'pending';

CREATE TABLE usage (
    tenant_id TEXT NOT NULL,
    turn TEXT NOT NULL,
    seq BIGINT NOT NULL,
    agent TEXT NOT NULL,
    user_id TEXT,
    channel TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    input_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    estimated BOOLEAN NOT NULL,
    -- Millionths of a US dollar; unknown is null, never zero.
    cost_micro_usd BIGINT,
    at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, turn, seq)
) WITHOUT ROWID;
CREATE INDEX usage_by_time ON usage (tenant_id, at);

CREATE TABLE tokens (
    tenant_id TEXT NOT NULL REFERENCES tenants (id),
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    -- SHA-256 of the token, hex; the token itself is never stored.
    hash TEXT NOT NULL UNIQUE,
    scopes TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    revoked_at BIGINT,
    PRIMARY KEY (tenant_id, id)
);
