-- Slack: where the app is installed, what came in, what was posted.
CREATE TABLE slack_installs (
    tenant_id TEXT NOT NULL,
    -- The enterprise of an org-wide install, else the team.
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    app TEXT,
    bot_user TEXT NOT NULL,
    bot TEXT,
    scopes TEXT NOT NULL,
    -- Why it does not work.
    error TEXT,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id)
);

-- What came in, from before it is acknowledged until it is dealt with.
CREATE TABLE slack_inbox (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('event', 'command', 'interaction')),
    -- What has the same is dealt with one after the other.
    lane TEXT NOT NULL,
    -- Removed when it is done.
    payload TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('pending', 'done', 'failed')),
    attempts BIGINT NOT NULL DEFAULT 0,
    error TEXT,
    received_at BIGINT NOT NULL
);
CREATE INDEX slack_inbox_pending ON slack_inbox (position) WHERE status = 'pending';
CREATE INDEX slack_inbox_old ON slack_inbox (received_at) WHERE status <> 'pending';

-- By what a second delivery of the same is known.
CREATE TABLE slack_claims (
    tenant_id TEXT NOT NULL,
    key TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, key)
);
CREATE INDEX slack_claims_old ON slack_claims (at);

-- Messages with the answer of a turn, from before they are sent.
CREATE TABLE slack_posts (
    tenant_id TEXT NOT NULL,
    turn TEXT NOT NULL,
    part BIGINT NOT NULL,
    channel TEXT NOT NULL,
    -- Empty until Slack has said it.
    ts TEXT NOT NULL,
    -- Growing: shown while the answer is made.
    state TEXT NOT NULL CHECK (state IN ('begun', 'growing', 'done')),
    begun_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, turn, part)
);
CREATE INDEX slack_posts_by_ts ON slack_posts (tenant_id, channel, ts);
