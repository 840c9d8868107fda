-- What may be used in a window of time. What was used in the current window is
-- a sum over usage, kept so that a call need not count.
CREATE TABLE budgets (
    tenant_id TEXT NOT NULL REFERENCES tenants (id),
    -- all, or kind:id with kind one of tenant, channel, user, agent, conversation
    scope TEXT NOT NULL,
    -- minute, hour, day, month, total
    span TEXT NOT NULL,
    max_requests BIGINT,
    max_tokens BIGINT,
    max_cost_micro_usd BIGINT,
    -- The window that the sums are of, milliseconds since 1970.
    since BIGINT NOT NULL,
    until BIGINT NOT NULL,
    requests BIGINT NOT NULL DEFAULT 0,
    tokens BIGINT NOT NULL DEFAULT 0,
    cost_micro_usd BIGINT NOT NULL DEFAULT 0,
    -- What calls under way may still take; of no window.
    reserved_tokens BIGINT NOT NULL DEFAULT 0,
    reserved_cost_micro_usd BIGINT NOT NULL DEFAULT 0,
    -- The percentage that was told of last in this window.
    warned BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, scope, span)
) WITHOUT ROWID;
INSERT INTO budgets (tenant_id, scope, span, max_cost_micro_usd, since, until) VALUES
    ('default', 'all', 'hour', 2000000, 0, 0),
    ('default', 'all', 'day', 10000000, 0, 0);

-- What calls under way may take. A row goes when its call is on the bill.
CREATE TABLE reservations (
    tenant_id TEXT NOT NULL,
    turn TEXT NOT NULL,
    -- The place in the turn's journal of the call.
    call BIGINT NOT NULL,
    agent TEXT NOT NULL,
    user_id TEXT,
    channel TEXT NOT NULL,
    conversation TEXT,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    input_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    cost_micro_usd BIGINT NOT NULL,
    -- Whether the price of the model is known.
    is_priced BOOLEAN NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, turn, call)
) WITHOUT ROWID;

ALTER TABLE usage ADD COLUMN conversation TEXT;
-- ok, failed, cancelled, lost or cached
ALTER TABLE usage ADD COLUMN status TEXT NOT NULL DEFAULT 'ok';
-- What budgets count: the cost, or the worst case where it is not known.
ALTER TABLE usage ADD COLUMN charge_micro_usd BIGINT NOT NULL DEFAULT 0;
UPDATE usage SET charge_micro_usd = coalesce(cost_micro_usd, 15 * input_tokens + 75 * output_tokens);
