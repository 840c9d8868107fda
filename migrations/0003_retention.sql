-- What the removal of old rows looks for.
CREATE INDEX turns_by_end ON turns (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX conversations_by_time ON conversations (updated_at);
CREATE INDEX events_by_time ON events (at);
CREATE INDEX deliveries_by_turn ON deliveries (turn) WHERE status IN ('pending', 'dead');
CREATE INDEX idempotency_keys_by_turn ON idempotency_keys (tenant_id, turn);
