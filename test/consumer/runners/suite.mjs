// The contract suites of the package, on any runtime: on the embedded tiers, and on real servers where
// SUITE_MEMCACHED and SUITE_POSTGRES name some. The last line says how many rules hold.
import { ok } from 'node:assert/strict'
import { createSessionStore } from 'nonstick'
import { msgpackCodec } from 'nonstick/codecs'
import { memcached } from 'nonstick/memcached'
import { memoryBackend, memoryCache } from 'nonstick/memory'
import { postgres } from 'nonstick/postgres'
import { backendContract, codecContract, frontCacheContract, movableRuntime } from 'nonstick/testing'
import { createWebSessions } from 'nonstick/web'

const failures = []
let rules = 0

/** Runs what `register` was given: one rule after the other, or, where they wait for a server's clock, all at once. */
const runRules = async (register, { atOnce = false } = {}) => {
  const registered = []
  const test = (title, run) => registered.push({ title, run })
  // The contracts call this in place of `test` for a rule that a tier cannot keep by its nature (`cannot`), with the reason in
  // the title. It is told here, so that no rule is left out in silence.
  test.skip = (title) => console.log(`left out: ${title}`)
  register(test)
  ok(registered.length > 10)
  const tryRule = async ({ title, run }) => {
    rules += 1
    try {
      await run()
    } catch (error) {
      failures.push(`${title}: ${error?.stack ?? error}`)
    }
  }
  if (atOnce) await Promise.all(registered.map(tryRule))
  else for (const rule of registered) await tryRule(rule)
}

await runRules((test) => codecContract(test, { name: 'msgpack', codec: msgpackCodec }))

const clock = movableRuntime()
await runRules((test) =>
  frontCacheContract(test, {
    name: 'memory cache',
    open: async () => ({ cache: memoryCache({ runtime: clock }) }),
    expiryResolutionMs: 1,
    now: clock.now,
    advance: clock.advance,
    cannot: {
      'what one process stores another one reads, and of both with the newest token one is stored':
        'it lives in one process',
    },
  }),
)
await runRules((test) =>
  backendContract(test, { name: 'memory backend', open: async () => ({ backend: memoryBackend() }) }),
)

const { SUITE_MEMCACHED, SUITE_POSTGRES } = process.env
// The rules are about what is done, and not about how fast.
const patience = { operationTimeoutMs: 60_000, connectTimeoutMs: 60_000 }
if (SUITE_MEMCACHED !== undefined) {
  const open = () => memcached({ servers: SUITE_MEMCACHED, ...patience })
  await runRules(
    (test) =>
      frontCacheContract(test, {
        name: 'memcached',
        open: async () => ({ cache: open(), another: async () => open() }),
        expiryResolutionMs: 2200,
      }),
    { atOnce: true },
  )
}
if (SUITE_POSTGRES !== undefined) {
  const open = () =>
    postgres({ connectionString: SUITE_POSTGRES, migrate: true, queryTimeoutMs: 60_000, connectTimeoutMs: 60_000 })
  const first = open()
  await first.setUp()
  await first.close()
  await runRules((test) =>
    backendContract(test, {
      name: 'postgres',
      open: async () => ({ backend: open() }),
      purgeResolutionMs: 3_600_000,
    }),
  )
}

// The runtime's own Request and Response.
const web = createWebSessions({
  sessions: createSessionStore({ cache: memoryCache(), backend: memoryBackend() }),
  cookie: { keys: 'the key of a test, which is of no use' },
})
const visit = async (cookie) => {
  const request = new Request('https://shop.example/', { headers: cookie === undefined ? {} : { cookie } })
  return await web.withSession(request, (session) => {
    session.data.visits = (session.data.visits ?? 0) + 1
    return Response.json(session.data.visits)
  })
}
rules += 1
const first = await visit(undefined)
const [cookie] = first.headers.getSetCookie()
const second = await visit(cookie.split(';')[0])
if ((await first.json()) !== 1 || (await second.json()) !== 2)
  failures.push('Request and Response: the session is lost')

for (const failure of failures) console.log(`FAIL ${failure}`)
console.log(failures.length === 0 ? `suite ok: ${rules} rules` : `${failures.length} of ${rules} rules failed`)
process.exit(failures.length === 0 ? 0 : 1)
