-- What a waiting turn waits for.
CREATE TABLE waits (
    tenant_id TEXT NOT NULL,
    turn TEXT NOT NULL,
    -- The call that waits.
    seq BIGINT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('question', 'time', 'turn')),
    -- What is asked, for a question.
    question TEXT,
    -- The turn of another agent whose end it is.
    child TEXT,
    -- When the time has come, or the question expires.
    due_at BIGINT,
    -- What the call answers, encoded.
    outcome BLOB,
    created_at BIGINT NOT NULL,
    settled_at BIGINT,
    PRIMARY KEY (tenant_id, turn, seq)
) WITHOUT ROWID;
CREATE INDEX waits_due ON waits (due_at) WHERE settled_at IS NULL AND due_at IS NOT NULL;
CREATE INDEX waits_by_child ON waits (tenant_id, child) WHERE settled_at IS NULL AND child IS NOT NULL;
CREATE INDEX waits_questions ON waits (tenant_id, turn) WHERE settled_at IS NULL AND kind = 'question';

-- The turn that asked for this one, and how many turns that asked are above it.
ALTER TABLE turns ADD COLUMN parent TEXT;
ALTER TABLE turns ADD COLUMN hops BIGINT NOT NULL DEFAULT 0;
-- How often it gave up its instance to wait, and the fuel of those runs.
ALTER TABLE turns ADD COLUMN suspensions BIGINT NOT NULL DEFAULT 0;
ALTER TABLE turns ADD COLUMN rerun_fuel BIGINT NOT NULL DEFAULT 0;
-- The turn that took up the message of this one.
ALTER TABLE turns ADD COLUMN steered TEXT;
CREATE INDEX turns_waiting ON turns (tenant_id, conversation) WHERE status = 'waiting';
