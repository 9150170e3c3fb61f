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

# Unix seconds of a time with or without fractions of a second (jq's own fromdate takes none); null of what is no time.
def seconds:
  if type != "string" then null
  else try ((.[0:19] + "Z" | fromdateiso8601) + (.[19:-1] | if . == "" then 0 else "0" + . | tonumber end)) catch null
  end;

def date: if . == null then null else (floor | todate) end;

def is_written: IN("session.created", "session.renewed", "session.regenerated", "session.rekeyed", "session.updated");

# Our events in the raw lines of a log, as far as their fields are what they must be.
def log(lines):
  lines
  | fromjson?
  | select(type == "object" and .component == "sessionkit")
  | .at = (.timestamp | seconds)
  | select(.at != null and all(.event, .instance; type == "string"))
  | select(all(.kid, .active_kid, .previous_kid, .session_ref, .previous_session_ref, .state, .reason; type | IN("string", "null")))
  | select((.event | is_written | not) or all(.kid, .session_ref; . != null))
  | select((.event | startswith("keyring.key_") | not) or all(.kid, .state; . != null))
  | select(all(.expired_for, .count; type | IN("number", "null")))
  | select((.event | IN("session.expired", "session.use_after_expire") | not) or .expired_for != null)
  | select(.event != "audit.summary" or (.count != null and (.summarised | type) == "string"))
  | select(.event != "session.rekeyed" or .previous_kid != null);

def reason_of($event):
  (.reason // "others") | if $event == "session.use_after_expire" then "expired_" + . else . end;

def is_refusal: IN("session.rejected", "session.revoked", "session.use_after_expire");

# What becomes of a process: 0 it serves without a lifespan, 1 with one, 2 it failed, 3 it ended; of several at one time the
# last counts. A hash chain has a name of its own, and says nothing but goodbye.
def life:
  {"actor.inline": 0, "actor.started": 1, "actor.restarted": 1, "actor.failed": 2, "actor.stopped": 3, "audit.chain_closed": 3}[.];

# What sessions, keys, workers and refusals come to; every question but the last is asked of it. Groups, not one big object
# that grows: jq copies an object that it changes.
def summed(events):
  [events] as $all
  | {
      ended: ([$all[].at] | max),
      lifetime: ([$all[] | ((.expires_at | seconds) // empty) - .at] | max // 0),
      sessions: (
        [
          $all[]
          | if .event | is_written then
              {ref: .session_ref, written: [.at, .kid], until: ((.expires_at | seconds) // .at)}
            elif .event == "session.destroyed" then {ref: .session_ref, over: .at}
            elif .event | IN("session.expired", "session.use_after_expire") then
              (.at - .expired_for) as $deadline
              | {ref: .session_ref, until: $deadline, expired: (if .reason == "absolute" then infinite else $deadline end)}
            else empty end,
            (select(.event == "session.regenerated") | {ref: .previous_session_ref, over: .at})
        ]
        | group_by(.ref)
        | map({
            ref: .[0].ref,
            written: (map(.written) | max),
            until: (map(.until) | max),
            over: (map(.over) | max),
            expired: (map(.expired) | max)
          })
      ),
      keys: (
        [
          $all[]
          | if .event | startswith("keyring.key_") then
              (if .event == "keyring.key_pruned" then "pruned" else .state end) as $state
              | {
                  kid,
                  state: [.generation, .event != "keyring.key_usage", .at, $state],
                  since: {($state): .at},
                  label: (if .label == null then null else [.at, .label] end),
                  prune_after: (.prune_after | seconds),
                  opened: (.last_opened_at | seconds),
                  sealed: (.last_sealed_at | seconds)
                }
            elif .active_kid != null then
              {kid: .active_kid, state: [.generation, true, .at, "active"], since: {active: .at}}
            elif .event | is_written then {kid, sealed: .at}
            else empty end,
            (select(.event == "session.rekeyed") | {kid: .previous_kid, opened: .at})
        ]
        | group_by(.kid)
        | map({
            kid: .[0].kid,
            state: (map(.state) | max | .[3]?),
            label: (map(.label) | max | .[1]?),
            retired: (map(.since.retired | values) | min),
            revoked: (map(.since.revoked | values) | min),
            prune_after: (map(.prune_after) | max),
            opened: (map(.opened) | max),
            sealed: (map(.sealed) | max)
          })
      ),
      workers: (
        $all
        | group_by(.instance)
        | map({
            instance: .[0].instance,
            last_seen: (map(.at) | max),
            ring: (map(select(.digest != null) | [.at, .generation, .digest]) | max),
            life: (map(select(.event | life != null) | [.at, (.event | life)]) | max)
          })
      ),
      refused: (
        [
          $all[]
          | if .event | is_refusal then {event, reason: reason_of(.event), client_ref, count: 1, summed: 0}
            elif .event == "audit.summary" and (.summarised | is_refusal) then
              {event: .summarised, reason: reason_of(.summarised), client_ref, count, summed: .count}
            else empty end
        ]
        | group_by([.event, .reason, .client_ref])
        | map(.[0] + {count: (map(.count) | add), summed: (map(.summed) | add)})
        | sort_by(-.count)
      )
    };

# 1. Which sessions still depend on a retired key, and until when?
def dependants($moment):
  . as $all
  | (reduce .keys[] as $key ({}; .[$key.kid] = $key)) as $keys
  | .sessions
  | map(
      select(.written != null and (.over == null or .over < .written[0]))
      # A cookie that expired ends a session only if it was its newest; a second is lost to rounding.
      | select(.expired == null or .expired < .until - 1)
      | $keys[.written[1]] as $key
      | select($key.state | IN("retired", "pruned"))
      | {
          kid: $key.kid,
          label: $key.label,
          session_ref: .ref,
          until: ([.until + skew, $key.sealed + $all.lifetime + skew] | max)
        }
      | select(.until > $moment)
    )
  | sort_by([.kid, .until, .session_ref]);

# 2. How long since a key was last used?
def last_use($moment):
  .keys
  | map(
      ([.opened, .sealed] | max) as $used
      | {kid, label: .label, state, last_used: ($used | date)}
      | .unused_for = (if $used == null then null else $moment - $used end)
    );

def live($moment):
  ([.ended, $moment] | min) as $ended
  | .workers
  | map(
      # Two hours without a word are the end of a process: each says something every hour, however idle it is. Without a
      # lifespan it speaks each minute while it is used: two of those.
      select(.last_seen >= $ended - (if .life[1] == 0 then 120 else 7200 end) and .life[1] != 3)
      | {instance, digest: .ring[2]?, generation: .ring[1]?}
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
  | (dependants($moment) | group_by(.kid) | reduce .[] as $same ({}; .[$same[0].kid] = ($same | map(.until) | max))) as $until
  | ($all.lifetime + skew) as $kept
  | .keys
  | map(
      select(.state | IN("retired", "revoked"))
      | ([([.sealed, .retired] | max) + $kept, .prune_after] | max) as $gone
      | (
          if .state == "revoked" then .revoked + propagation + skew + $kept
          # Opened after its last session should have ended: sealed by somebody whose log is missing.
          else [if .opened != null and .opened >= $gone then .opened + $kept else $gone end, $until[.kid]] | max
          end
        ) as $allowed
      | {kid, label: .label, state, allowed_at: ($allowed | date), safe: ($agree and $moment >= $allowed)}
    );

# 4. Who tampers? Counts by reason and client, of what was written in full and of what was only summed up.
def refusals: .refused;

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
