-- How many events led to this one: 0 where a person or the host began.
ALTER TABLE events ADD COLUMN hops BIGINT NOT NULL DEFAULT 0;

-- Asked for again by hand, so that it does not expire.
ALTER TABLE deliveries ADD COLUMN replayed BOOLEAN NOT NULL DEFAULT FALSE;

-- The same, with filters; an empty filter lets everything through.
CREATE TABLE filtered_subscriptions (
    tenant_id TEXT NOT NULL,
    agent TEXT NOT NULL,
    pattern TEXT NOT NULL,
    wildcard BOOLEAN NOT NULL,
    filter TEXT NOT NULL,
    PRIMARY KEY (tenant_id, agent, pattern, filter)
);
INSERT INTO filtered_subscriptions SELECT tenant_id, agent, pattern, wildcard, '' FROM subscriptions;
DROP TABLE subscriptions;
ALTER TABLE filtered_subscriptions RENAME TO subscriptions;
CREATE INDEX subscriptions_by_pattern ON subscriptions (tenant_id, wildcard, pattern);

CREATE TABLE schedules (
    tenant_id TEXT NOT NULL,
    -- Whose it is; empty for those made by API.
    agent TEXT NOT NULL,
    name TEXT NOT NULL,
    -- A cron expression; null for once.
    cron TEXT,
    time_zone TEXT NOT NULL,
    -- What the events say, JSON.
    publication TEXT NOT NULL,
    source TEXT NOT NULL,
    hops BIGINT NOT NULL,
    next_at BIGINT NOT NULL,
    last_at BIGINT,
    -- Why the last time passed without an event.
    problem TEXT,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, agent, name)
);
CREATE INDEX schedules_by_time ON schedules (next_at);
