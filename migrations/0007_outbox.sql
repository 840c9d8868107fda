-- Where the answer is to be delivered, if not by the request that asks.
ALTER TABLE turns ADD COLUMN callback TEXT;

-- Answers on their way out. The id of the turn is the idempotency key.
CREATE TABLE outbox (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id TEXT NOT NULL,
    turn TEXT NOT NULL,
    channel TEXT NOT NULL,
    conversation TEXT,
    -- Where to, for the channel.
    target TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('pending', 'delivered', 'dead')),
    attempts BIGINT NOT NULL DEFAULT 0,
    next_at BIGINT NOT NULL,
    -- Why the last attempt failed.
    error TEXT,
    created_at BIGINT NOT NULL,
    settled_at BIGINT,
    UNIQUE (tenant_id, turn)
);
CREATE INDEX outbox_pending ON outbox (channel, next_at) WHERE status = 'pending';
CREATE INDEX outbox_in_order ON outbox (tenant_id, conversation, position) WHERE status = 'pending';
