# The six questions that an audit log answers, for jq 1.6 or newer: where nothing but jq is at hand. The suite runs each on a
# generated log and compares it with `sessionkit audit report`, which is many times faster.
#
#   jq -nR -L config 'include "audit"; summed(log(inputs)) | pruning(now)' audit.jsonl
#   zcat audit-*.jsonl.gz | jq -nR -L config 'include "audit"; summed(log(inputs)) | refusals'
#   jq -nR -L config 'include "audit"; trace(log(inputs); "ABCDEFGHIJKLMNOP")' audit.jsonl
#
# Lines of others and broken lines are passed over without a word: `sessionkit audit report` counts and locates them.
# "Sessions on a key" are an upper bound: at level info a log does not tell of renewals that happen by themselves.

# ε, seconds that clocks may differ by, and D, seconds until every process has loaded a new ring: what
# `sessionkit keyring init` writes. T, how long a cookie lives at most, is the longest life that the log tells of.
def skew: 300;
def propagation: 300;

# Unix seconds of a time with or without fractions of a second; jq's own fromdate takes none.
def seconds:
  if . == null then null
  else capture("^(?<whole>[^.Z]+)(?<fraction>\\.[0-9]+)?Z$")
    | (.whole + "Z" | fromdateiso8601) + (.fraction // "0" | if startswith(".") then "0" + . else . end | tonumber)
  end;

def date: if . == null then null else (floor | todate) end;

def latest(other): [., other] | max;  # null comes before any number

def earliest(other): [., other] | map(select(. != null)) | min;

# Our events in the raw lines of a log.
def log(lines): lines | fromjson? | select(type == "object" and .component == "sessionkit") | .at = (.timestamp | seconds);

def states: ["staged", "active", "retired", "revoked", "pruned"];

def reason_of($event):
  (.reason // "others") | if $event == "session.use_after_expire" then "expired_" + . else . end;

def is_refusal: IN("session.rejected", "session.revoked", "session.use_after_expire");

def is_life: IN("actor.started", "actor.restarted", "actor.inline", "actor.failed", "actor.stopped");

def is_written: IN("session.created", "session.renewed", "session.regenerated", "session.rekeyed", "session.updated");

# One pass over a log; every question but the last is asked of what comes of it.
def summed(events):
  reduce events as $e (
    {keys: {}, sessions: {}, workers: {}, refused: {}, lifetime: 0, ended: null};
    .ended = (.ended | latest($e.at))
    | .workers[$e.instance].last_seen = (.workers[$e.instance].last_seen | latest($e.at))
    | if $e.digest then
        .workers[$e.instance].ring = (.workers[$e.instance].ring | latest([$e.at, $e.generation, $e.digest]))
      else . end
    | if $e.event | is_life then
        .workers[$e.instance].life = (.workers[$e.instance].life | latest([$e.at, $e.event == "actor.stopped"]))
      else . end
    | if $e.event | is_written then
        ($e.expires_at | seconds) as $until
        | .keys[$e.kid].sealed = (.keys[$e.kid].sealed | latest($e.at))
        | .sessions[$e.session_ref].written = (.sessions[$e.session_ref].written | latest([$e.at, $e.kid]))
        | .sessions[$e.session_ref].until = (.sessions[$e.session_ref].until | latest($until // $e.at))
        | .lifetime = (.lifetime | latest(($until // $e.at) - $e.at))
      else . end
    | if $e.event == "session.destroyed" then
        .sessions[$e.session_ref].over = (.sessions[$e.session_ref].over | latest($e.at))
      elif $e.event == "session.regenerated" then
        .sessions[$e.previous_session_ref].over = (.sessions[$e.previous_session_ref].over | latest($e.at))
      elif $e.event == "session.rekeyed" then
        .keys[$e.previous_kid].opened = (.keys[$e.previous_kid].opened | latest($e.at))
      elif $e.event | IN("session.expired", "session.use_after_expire") then
        ($e.at - $e.expired_for) as $deadline
        | .sessions[$e.session_ref].until = (.sessions[$e.session_ref].until | latest($deadline))
        | .sessions[$e.session_ref].expired =
            (.sessions[$e.session_ref].expired | latest(if $e.reason == "absolute" then infinite else $deadline end))
      elif $e.event | startswith("keyring.key_") then
        (if $e.event == "keyring.key_pruned" then "pruned" else $e.state end) as $state
        | .keys[$e.kid].states[$state] = (.keys[$e.kid].states[$state] | earliest($e.at))
        | .keys[$e.kid].label = (.keys[$e.kid].label | latest([$e.at, $e.label]))
        | .keys[$e.kid].prune_after = (.keys[$e.kid].prune_after | latest($e.prune_after | seconds))
        | .keys[$e.kid].opened = (.keys[$e.kid].opened | latest($e.last_opened_at | seconds))
        | .keys[$e.kid].sealed = (.keys[$e.kid].sealed | latest($e.last_sealed_at | seconds))
      else . end
    | if $e.event | is_refusal then
        ([$e.event, ($e | reason_of($e.event)), $e.client_ref] | tojson) as $kind
        | .refused[$kind].count += 1
      elif $e.event == "audit.summary" and ($e.summarised | is_refusal) then
        ([$e.summarised, ($e | reason_of($e.summarised)), $e.client_ref] | tojson) as $kind
        | .refused[$kind].count += $e.count
        | .refused[$kind].summed += $e.count
      else . end
  )
  | .keys |= map_values(
      .label |= (if . == null then null else .[1] end)
      | .state = (.states // {} | to_entries | max_by([.value, (.key as $state | states | index([$state]))]) | .key)
    );

# 1. Which sessions still depend on a retired key, and until when?
def dependants($moment):
  . as $all
  | [
      .sessions
      | to_entries[]
      | .value as $session
      | select($session.written != null and ($session.over == null or $session.over < $session.written[0]))
      | select($session.expired == null or $session.expired < $session.until - 1)
      | $all.keys[$session.written[1]] as $key
      | select($key.state | IN("retired", "pruned"))
      | {
          kid: $session.written[1],
          label: $key.label,
          session_ref: .key,
          until: ([$session.until + skew, $key.sealed + $all.lifetime + skew] | max)
        }
      | select(.until > $moment)
    ]
  | sort_by([.kid, .until, .session_ref]);

# 2. How long since a key was last used?
def last_use($moment):
  .keys
  | to_entries
  | map(
      ([.value.opened, .value.sealed] | max) as $used
      | {kid: .key, label: .value.label, state: .value.state, last_used: ($used | date)}
      | .unused_for = (if $used == null then null else $moment - $used end)
    );

def live($moment):
  ([.ended, $moment] | min) as $ended
  | .workers
  | to_entries
  | map(
      # Two hours without a word are the end of a process: each says something every hour, however idle it is.
      select(.value.last_seen >= $ended - 7200 and (.value.life == null or (.value.life[1] | not)))
      | {instance: .key, digest: .value.ring[2], generation: .value.ring[1]}
    );

# 5. Do all workers run the same ring? One entry for each digest among the live ones; one in all means yes.
def workers($moment):
  live($moment)
  | group_by(.digest)
  | map({digest: .[0].digest, generation: .[0].generation, instances: map(.instance)})
  | sort_by(.generation)
  | reverse;

# 3. Is it safe to prune a key now? Not before its last cookie has ended on every clock, nor while workers differ.
def pruning($moment):
  . as $all
  | (workers($moment) | length <= 1) as $agree
  | dependants($moment) as $dependants
  | .keys
  | to_entries
  | map(
      select(.value.state | IN("retired", "revoked"))
      | .key as $kid
      | .value as $key
      | (
          if $key.state == "revoked" then $key.states.revoked + propagation + $all.lifetime + skew
          else [
            ([$key.sealed, $key.states.retired] | max) + $all.lifetime + skew,
            $key.prune_after,
            ($dependants[] | select(.kid == $kid) | .until)
          ] | max
          end
        ) as $allowed
      | {kid: $kid, label: $key.label, state: $key.state, allowed_at: ($allowed | date)}
      | .safe = ($agree and $moment >= $allowed)
    );

# 4. Who tampers? Counts by reason and client, of what was written in full and of what was only summed up.
def refusals:
  .refused
  | to_entries
  | map(
      .value as $counts
      | .key
      | fromjson
      | {event: .[0], reason: .[1], client_ref: .[2], count: $counts.count, summed: ($counts.summed // 0)}
    )
  | sort_by(-.count);

# 6. What happened to one session, also under the references it had before and after?
def trace(events; $reference):
  [events | select(.session_ref != null)] as $told
  | (
      reduce ($told[] | select(.previous_session_ref != null)) as $e (
        {};
        .[$e.session_ref] += [$e.previous_session_ref] | .[$e.previous_session_ref] += [$e.session_ref]
      )
    ) as $links
  | {found: {($reference): true}, ahead: [$reference]}
  | until(
      .ahead == [];
      .found as $found
      | .ahead |= [.[] | $links[.] // [] | .[] | select($found[.] | not)]
      | reduce .ahead[] as $new (.; .found[$new] = true)
    )
  | .found as $found
  | $told
  | map(select($found[.session_ref] or $found[.previous_session_ref // ""]))
  | sort_by(.at)
  | map({timestamp, event, session_ref, previous_session_ref, kid, previous_kid, reason, instance} | with_entries(select(.value != null)));
