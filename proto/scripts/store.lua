-- proto/scripts/store.lua: one request of proto/store.h, decided and written as one step.
--
-- proto/store_model.c is the same in C and is what the simulator runs; tests/proto/store_redis_test.c runs both side by
-- side. KEYS[1] is the prefix "g1:{cluster}:" (all keys share its slot). ARGV is the kind, then name and value in turn;
-- "rec.step" goes into the group `rec`. Identities are names. 64-bit ids are hexadecimal text and only compared, epochs
-- and counters are numbers below 2^53.
--
-- Answers names and values in turn: status, conflict, run, term, egress, lease, and for READ the view.

local P, kind = KEYS[1], ARGV[1]
local a, rec, beat, controls, history, evidence = {}, {}, {}, {}, {}, {}
local groups = { rec = rec, beat = beat, controls = controls, history = history, evidence = evidence }
for i = 2, #ARGV, 2 do
  local group, field = string.match(ARGV[i], '^(%a+)%.(.+)$')
  if group then groups[group][field] = ARGV[i + 1] else a[ARGV[i]] = ARGV[i + 1] end
end

local function hash(key)
  local flat, t = redis.call('HGETALL', P .. key), {}
  for i = 1, #flat, 2 do t[flat[i]] = flat[i + 1] end
  return t
end

local function set(key, t)
  local flat = {}
  for k, v in pairs(t) do flat[#flat + 1] = k; flat[#flat + 1] = v end
  if #flat > 0 then redis.call('HSET', P .. key, unpack(flat)) end
end

local function num(v) return tonumber(v or 0) or 0 end

-- Which server answers: another process after a restart or a failover has another run, and may have lost writes.
local run = string.sub(redis.sha1hex(string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')), 1, 16)

local egress, lease = hash('egress'), hash('lease')
local status, conflict = 'ok', 'none'
local function stale() status = 'stale' end
local function refuse(why) status, conflict = 'conflict', why end

local function keep_op(t)
  t.used = redis.call('HGET', P .. 'op', 'used') or '0'
  if num(t.epoch) > num(t.used) then t.used = t.epoch end
  redis.call('DEL', P .. 'op')
  set('op', t)
  if t.id then
    redis.call('DEL', P .. 'op:' .. t.id)
    set('op:' .. t.id, t)
    redis.call('PEXPIRE', P .. 'op:' .. t.id, 30 * 86400000)
  end
end

local function append_history(extra)
  for k, v in pairs(extra) do if history[k] == nil then history[k] = v end end
  redis.call('RPUSH', P .. 'history', cjson.encode(history))
  redis.call('LTRIM', P .. 'history', -500, -1)
end

local apply = {}

function apply.coord()
  local c = hash('coord') -- gone when the lease ran out
  local ours = c.id == a.id and c.token == a.token
  if c.id and not ours then return refuse('held') end
  if not ours then
    local term = math.max(num(redis.call('GET', P .. 'term')), num(a.term_floor)) + 1
    redis.call('SET', P .. 'term', string.format('%.0f', term))
    redis.call('DEL', P .. 'coord')
    set('coord', { id = a.id, token = a.token, term = string.format('%.0f', term) })
  end
  redis.call('PEXPIRE', P .. 'coord', a.lease_ms)
end

function apply.read() end

function apply.begin()
  local op = hash('op')
  if op.id == rec.id then return end -- our own earlier sending
  if op.id or num(op.no) + 1 ~= num(rec.no) then return refuse('op') end
  if num(egress.epoch) ~= num(rec.base_epoch) then return refuse('epoch') end
  if op.last then rec.last = op.last end
  keep_op(rec)
end

function apply.advance()
  local op = hash('op')
  local again = op.id == rec.id and num(op.seq) == num(rec.seq)
  if op.id ~= rec.id or (not again and num(op.seq) + 1 ~= num(rec.seq)) then return refuse('op') end
  if again then return end
  if a.fenced == '1' then
    if egress.state ~= 'fencing' or egress.op ~= rec.id then return refuse('state') end
    egress.state = 'fenced'
    set('egress', { state = 'fenced' })
  end
  if op.last then rec.last = op.last end
  keep_op(rec)
end

function apply.finish()
  local op = hash('op')
  if op.last == a.op and op.id ~= a.op then return end
  if op.id ~= a.op then return refuse('op') end
  if a.held == '1' and egress.state == 'fenced' then
    egress.state = 'held'
    set('egress', { state = 'held' })
  end
  append_history({ by = op.by, why = op.why, took = op.took, started = op.started, flags = op.flags, base_epoch = op.base_epoch })
  redis.call('DEL', P .. 'op')
  set('op', { no = op.no, last = op.id, used = op.used })
end

-- An order of an earlier step that arrives late finds the record moved on.
local function op_is(id, seq)
  local op = hash('op')
  return op.id == id and num(op.seq) == num(seq)
end

function apply.fence()
  if not op_is(a.op, a.op_seq) then return refuse('op') end
  if egress.identity ~= a.identity or num(egress.epoch) ~= num(a.epoch) then return refuse('epoch') end
  if not egress.state or egress.state == 'none' then return refuse('state') end
  if egress.op == a.op and egress.token == a.token and egress.state ~= 'active' then return end
  if egress.state == 'active' then egress.state = 'fencing'
  elseif egress.state == 'held' then egress.state = 'fenced' end
  egress.op, egress.token, egress.run, egress.since = a.op, a.token, run, a.wall_ms
  set('egress', egress)
end

function apply.grant()
  if egress.state == 'active' and egress.identity == a.identity and num(egress.epoch) == num(a.epoch) and
    egress.op == a.op then return end
  if not op_is(a.op, a.op_seq) then return refuse('op') end
  if num(a.epoch) <= num(redis.call('GET', P .. 'epoch')) or num(a.epoch) <= num(egress.epoch) then return refuse('epoch') end
  local same = egress.state == 'active' and egress.identity == a.identity
  if not same and (egress.state == 'active' or egress.state == 'fencing') then return refuse('state') end
  egress = { identity = a.identity, state = 'active', epoch = a.epoch, op = a.op, token = a.token, run = run,
             since = a.wall_ms, dns_pending = a.dns_pending }
  set('egress', egress)
  redis.call('SET', P .. 'epoch', a.epoch)
  lease.identity, lease.epoch, lease.token = a.identity, a.epoch, '0'
  set('lease', lease)
  if a.automatic == '1' then
    redis.call('LPUSH', P .. 'auto', a.wall_ms)
    redis.call('LTRIM', P .. 'auto', 0, 7)
  end
  if a.quarantined ~= '' then redis.call('HSET', P .. 'quarantine', a.quarantined, a.wall_ms) end
end

function apply.controls()
  local c = hash('controls')
  local same = num(c.version) == num(controls.version) and num(c.paused) == num(controls.paused)
    and (c.pin or '') == (controls.pin or '') and num(c.pin_until) == num(controls.pin_until)
  if same then return end
  if num(c.version) + 1 ~= num(controls.version) then return refuse('state') end
  set('controls', controls)
end

function apply.mark() redis.call('HSET', P .. 'quarantine', a.identity, a.wall_ms) end

function apply.history() append_history({}) end

function apply.renew()
  if num(egress.epoch) ~= num(a.epoch) or egress.identity ~= a.identity then return stale() end
  if egress.state ~= 'active' then return refuse('state') end
  if lease.token and lease.token ~= '0' and lease.token ~= a.token then return refuse('held') end
  lease.token = a.token
  lease.counter = string.format('%.0f', num(lease.counter) + 1)
  set('lease', { token = lease.token, counter = lease.counter })
end

function apply.beat()
  local key = 'node:' .. a.identity
  local old = redis.call('HMGET', P .. key, 'instance', 'seq')
  if old[1] == beat.instance and num(old[2]) >= num(beat.seq) then return end -- an old one that arrives late
  set(key, beat)
  redis.call('PEXPIRE', P .. key, 30 * 86400000)
end

function apply.evidence()
  local flat = {}
  for k, v in pairs(evidence) do flat[#flat + 1] = k; flat[#flat + 1] = v end
  local now = redis.call('TIME')
  redis.call('XADD', P .. 'evidence', 'MINID', '~', string.format('%.0f', num(now[1]) * 1000 - num(a.keep_ms)), '*', unpack(flat))
end

local led = { begin = true, advance = true, finish = true, fence = true, grant = true, controls = true, mark = true, history = true }

local claim_run = a.claim_run or ''
if claim_run ~= '' and claim_run ~= run then
  refuse('run')
elseif led[kind] then
  local c = hash('coord')
  if c.id == a.claim_id and c.token == a.claim_token and c.term == a.claim_term then apply[kind]() else stale() end
else
  apply[kind]()
end

local function flat(t)
  local out = {}
  for k, v in pairs(t) do out[#out + 1] = k; out[#out + 1] = v end
  return out
end

local out = { 'status', status, 'conflict', conflict, 'run', run, 'term', redis.call('GET', P .. 'term') or '0',
              'egress', flat(egress), 'lease', flat(lease) }
if kind == 'read' and status == 'ok' then
  local beats = {}
  for name in string.gmatch(a.identities, '[^,]+') do
    beats[#beats + 1] = name
    beats[#beats + 1] = redis.call('HGETALL', P .. 'node:' .. name)
  end
  local view = { 'epoch', redis.call('GET', P .. 'epoch') or '0', 'leader', hash('coord').id or '0',
                 'op', redis.call('HGETALL', P .. 'op'), 'beats', beats,
                 'controls', redis.call('HGETALL', P .. 'controls'),
                 'quarantine', redis.call('HGETALL', P .. 'quarantine'), 'auto', redis.call('LRANGE', P .. 'auto', 0, -1),
                 'evidence', redis.call('XREVRANGE', P .. 'evidence', '+', '-', 'COUNT', 32) }
  out[#out + 1] = 'view'
  out[#out + 1] = view
end
return out
