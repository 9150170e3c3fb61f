-- The six questions that an audit log answers, for DuckDB 1.1 or newer: where a log is too long, or has to be joined with
-- something else, for `sessionkit audit report`. The suite runs each query on a generated log and compares it with that.
--
--   duckdb -c "SET VARIABLE log = 'audit-*.jsonl.gz'" -f config/audit.duckdb.sql
--
-- What else may be set, before this file is read:
--   moment      the "now" of the answers; later lines do not count (now)
--   lifetime    T, seconds a cookie lives at most (the longest life that the log tells of)
--   skew        ε, seconds that clocks may differ by (300)
--   propagation D, seconds until every process has loaded a new ring (300)
--   session     the session_ref that question 6 is about
--
-- Lines of others and broken lines are passed over without a word: `sessionkit audit report` counts and locates them.
-- "Sessions on a key" are an upper bound: at level info a log does not tell of renewals that happen by themselves.

CREATE OR REPLACE TEMP TABLE audit AS
SELECT *
FROM read_json(
    getvariable('log'),
    format = 'newline_delimited',
    ignore_errors = true,
    columns = {
        component: 'VARCHAR', "timestamp": 'TIMESTAMPTZ', event: 'VARCHAR', instance: 'VARCHAR', reason: 'VARCHAR',
        kid: 'VARCHAR', previous_kid: 'VARCHAR', active_kid: 'VARCHAR', label: 'VARCHAR', state: 'VARCHAR', digest: 'VARCHAR',
        generation: 'BIGINT', session_ref: 'VARCHAR', previous_session_ref: 'VARCHAR', client_ref: 'VARCHAR',
        expires_at: 'TIMESTAMPTZ', expired_for: 'DOUBLE', prune_after: 'TIMESTAMPTZ', last_opened_at: 'TIMESTAMPTZ',
        last_sealed_at: 'TIMESTAMPTZ', summarised: 'VARCHAR', "count": 'BIGINT'
    }
)
WHERE component = 'sessionkit' AND coalesce("timestamp" <= getvariable('moment')::TIMESTAMPTZ, true);

CREATE OR REPLACE TEMP TABLE reckoning AS
SELECT
    coalesce(getvariable('moment')::TIMESTAMPTZ, now()) AS moment,
    to_seconds(coalesce(
        getvariable('lifetime')::DOUBLE,
        (SELECT max(epoch(expires_at) - epoch("timestamp")) FROM audit WHERE event IN ('session.created', 'session.renewed')),
        0
    )) AS lifetime,
    to_seconds(coalesce(getvariable('skew')::DOUBLE, 300)) AS skew,
    to_seconds(coalesce(getvariable('propagation')::DOUBLE, 300)) AS propagation,
    (SELECT max("timestamp") FROM audit) AS ended;

-- Every time at which a key is known to have sealed: each line on a written session, and the keys' own tallies.
CREATE OR REPLACE TEMP VIEW written AS
SELECT session_ref, kid, "timestamp" AS told, coalesce(expires_at, "timestamp") AS until
FROM audit
WHERE event IN ('session.created', 'session.renewed', 'session.regenerated', 'session.rekeyed', 'session.updated');

CREATE OR REPLACE TEMP VIEW sealed AS
SELECT kid, max(told) AS last_sealed
FROM (
    SELECT kid, told FROM written
    UNION ALL
    SELECT kid, last_sealed_at FROM audit WHERE event = 'keyring.key_usage'
)
GROUP BY kid;

-- What was said of a key's state. A tally counts under the state of the ring before, if that changed meanwhile.
CREATE OR REPLACE TEMP VIEW told AS
SELECT
    kid,
    CASE WHEN event = 'keyring.key_pruned' THEN 'pruned' ELSE state END AS state,
    generation,
    event <> 'keyring.key_usage' AS is_news,
    "timestamp"
FROM audit
WHERE event LIKE 'keyring.key\_%' ESCAPE '\'
UNION ALL
SELECT active_kid, 'active', generation, true, "timestamp" FROM audit WHERE active_kid IS NOT NULL;

CREATE OR REPLACE TEMP VIEW ring AS
SELECT
    kid,
    arg_max(state, (generation, is_news, "timestamp", state)) AS state,
    min("timestamp") FILTER (state = 'retired') AS retired,
    min("timestamp") FILTER (state = 'revoked') AS revoked,
    (SELECT arg_max(label, ("timestamp", label)) FROM audit WHERE audit.kid = told.kid AND label IS NOT NULL) AS label,
    (SELECT max(prune_after) FROM audit WHERE audit.kid = told.kid) AS prune_after
FROM told
GROUP BY kid;

CREATE OR REPLACE TEMP VIEW opened AS
SELECT kid, max(told) AS last_opened
FROM (
    SELECT kid, last_opened_at AS told FROM audit WHERE event = 'keyring.key_usage'
    UNION ALL
    SELECT previous_kid, "timestamp" FROM audit WHERE event = 'session.rekeyed'
)
GROUP BY kid;

-- name: dependants
-- 1. Which sessions still depend on a retired key, and until when?
CREATE OR REPLACE TEMP TABLE dependants AS
WITH
    newest AS (
        SELECT session_ref, arg_max(kid, (told, kid)) AS kid, max(told) AS told, max(until) AS told_until
        FROM written
        GROUP BY session_ref
    ),
    ended AS (
        SELECT session_ref, max("timestamp") AS told
        FROM (
            SELECT session_ref, "timestamp" FROM audit WHERE event = 'session.destroyed'
            UNION ALL
            SELECT previous_session_ref, "timestamp" FROM audit WHERE event = 'session.regenerated'
        )
        GROUP BY session_ref
    ),
    expired AS (
        SELECT
            session_ref,
            max("timestamp" - to_seconds(expired_for)) AS deadline,
            bool_or(reason = 'absolute') AS for_good
        FROM audit
        WHERE event IN ('session.expired', 'session.use_after_expire')
        GROUP BY session_ref
    )
SELECT
    ring.label,
    newest.kid,
    newest.session_ref,
    greatest(
        greatest(newest.told_until, expired.deadline) + reckoning.skew,
        sealed.last_sealed + reckoning.lifetime + reckoning.skew
    ) AS until
FROM newest
JOIN ring ON ring.kid = newest.kid AND ring.state IN ('retired', 'pruned')
JOIN sealed ON sealed.kid = newest.kid
CROSS JOIN reckoning
LEFT JOIN ended ON ended.session_ref = newest.session_ref
LEFT JOIN expired ON expired.session_ref = newest.session_ref
WHERE coalesce(ended.told < newest.told, true)
    -- A cookie that expired ends a session only if it was its newest; a second is lost to rounding.
    AND NOT coalesce(expired.for_good OR expired.deadline >= newest.told_until - INTERVAL 1 SECOND, false);

SELECT label, kid, session_ref, until
FROM dependants, reckoning
WHERE until > moment
ORDER BY kid, until, session_ref;

-- name: last_use
-- 2. How long since a key was last used?
SELECT label, kid, state, last_opened, last_sealed, moment - greatest(last_opened, last_sealed) AS unused_for
FROM ring
CROSS JOIN reckoning
LEFT JOIN sealed USING (kid)
LEFT JOIN opened USING (kid)
ORDER BY unused_for DESC NULLS LAST, kid;

-- What becomes of a process: 0 it serves without a lifespan, 1 with one, 2 it failed, 3 it ended; of several at one time the
-- last counts. A hash chain has a name of its own, and says nothing but goodbye.
CREATE OR REPLACE TEMP VIEW lives AS
SELECT instance, arg_max(life, ("timestamp", life)) AS life
FROM (
    SELECT
        instance,
        "timestamp",
        CASE event
            WHEN 'actor.inline' THEN 0
            WHEN 'actor.started' THEN 1
            WHEN 'actor.restarted' THEN 1
            WHEN 'actor.failed' THEN 2
            WHEN 'actor.stopped' THEN 3
            WHEN 'audit.chain_closed' THEN 3
        END AS life
    FROM audit
)
WHERE life IS NOT NULL
GROUP BY instance;

-- 5 comes before 3, which needs it.
CREATE OR REPLACE TEMP TABLE workers AS
SELECT
    instance,
    arg_max(digest, ("timestamp", generation)) FILTER (digest IS NOT NULL) AS digest,
    max(generation) AS generation,
    max("timestamp") AS last_seen,
    -- Two hours without a word are the end of a process: each says something every hour, however idle it is. Without a
    -- lifespan it speaks each minute while it is used: two of those.
    max("timestamp") >= (SELECT least(ended, moment) FROM reckoning)
        - CASE any_value(life) WHEN 0 THEN INTERVAL 2 MINUTE ELSE INTERVAL 2 HOUR END
        AND any_value(life) IS DISTINCT FROM 3
        AS live
FROM audit
LEFT JOIN lives USING (instance)
GROUP BY instance;

-- name: workers
-- 5. Do all workers run the same ring? One row for each digest among the live ones; one row in all means yes.
SELECT digest, max(generation) AS generation, count(*) AS workers, list(instance ORDER BY instance) AS instances
FROM workers
WHERE live
GROUP BY digest
ORDER BY generation DESC NULLS LAST, digest;

-- name: pruning
-- 3. Is it safe to prune a key now? Not before its last cookie has ended on every clock, nor while workers differ.
WITH bounds AS (
    SELECT
        ring.*,
        last_opened,
        lifetime + skew AS kept,
        greatest(greatest(last_sealed, retired) + lifetime + skew, prune_after) AS gone
    FROM ring
    CROSS JOIN reckoning
    LEFT JOIN sealed USING (kid)
    LEFT JOIN opened USING (kid)
    WHERE ring.state IN ('retired', 'revoked')
),
allowed AS (
    SELECT
        label,
        kid,
        state,
        CASE state
            WHEN 'revoked' THEN revoked + propagation + skew + kept
            ELSE greatest(
                -- Opened after its last session should have ended: sealed by somebody whose log is missing.
                CASE WHEN last_opened >= gone THEN last_opened + kept ELSE gone END,
                (SELECT max(until) FROM dependants WHERE dependants.kid = bounds.kid AND until > moment)
            )
        END AS allowed_at
    FROM bounds CROSS JOIN reckoning
)
SELECT
    label,
    kid,
    state,
    allowed_at,
    moment >= allowed_at AND (SELECT count(DISTINCT coalesce(digest, '?')) <= 1 FROM workers WHERE live) AS safe
FROM allowed CROSS JOIN reckoning
ORDER BY allowed_at, kid;

-- name: refusals
-- 4. Who tampers? Counts by reason and client, of what was written in full and of what was only summed up.
SELECT
    refused AS event,
    CASE refused WHEN 'session.use_after_expire' THEN 'expired_' || coalesce(reason, 'others') ELSE coalesce(reason, 'others') END AS reason,
    client_ref,
    sum("count")::BIGINT AS "count",
    (sum("count") FILTER (summed))::BIGINT AS summed
FROM (
    SELECT event AS refused, reason, client_ref, 1 AS "count", false AS summed FROM audit WHERE event <> 'audit.summary'
    UNION ALL
    SELECT summarised, reason, client_ref, "count", true FROM audit WHERE event = 'audit.summary'
)
WHERE refused IN ('session.rejected', 'session.revoked', 'session.use_after_expire')
GROUP BY ALL
ORDER BY "count" DESC, event, reason, client_ref;

-- name: trace
-- 6. What happened to one session, also under the references it had before and after?
WITH RECURSIVE
    links AS (
        SELECT previous_session_ref AS one, session_ref AS other FROM audit WHERE event = 'session.regenerated'
        UNION ALL
        SELECT session_ref, previous_session_ref FROM audit WHERE event = 'session.regenerated'
    ),
    refs AS (
        SELECT getvariable('session')::VARCHAR AS ref
        UNION
        SELECT links.other FROM links JOIN refs ON links.one = refs.ref
    )
SELECT "timestamp", event, session_ref, previous_session_ref, kid, previous_kid, reason, expires_at, instance
FROM audit
WHERE session_ref IN (SELECT ref FROM refs) OR previous_session_ref IN (SELECT ref FROM refs)
ORDER BY "timestamp";
