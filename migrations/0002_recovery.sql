-- How often a turn was started.
ALTER TABLE turns ADD COLUMN attempts BIGINT NOT NULL DEFAULT 0;

-- The call of the turn that a row of usage pays for.
ALTER TABLE usage ADD COLUMN call BIGINT NOT NULL DEFAULT 0;
