/** Runs what `scripts/import-scale` promises; `HELP` is the promise. */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { createClient } from 'redis'
import { startMemcached, startPostgres, startRedis } from './servers/index.js'
import { pauseMs } from './servers/process.js'

const HELP = `scripts/import-scale [sessions]

Starts Redis, PostgreSQL and Memcached, and puts so many sessions (100,000) into Redis as connect-redis does, and as many into a
table as connect-pg-simple does. Then it runs \`nonstick import\` for each, kills it with SIGKILL when half are done, runs it again
with the same --resume file, and compares all with \`--verify\`. Prints for each source the sessions a second, and the resident
memory of the command after a tenth of its run and at its most, and a line of JSON. The exit code is 1 if a session is missing or
different, or if the memory has grown by more than half. It needs a build (npm run build).`

const COMMAND = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url))
/** What may come on top of the memory that a run has after a tenth of it. */
const MOST_GROWTH = 1.5

interface Run {
  readonly code: number | null
  readonly out: string
  readonly tookMs: number
  /** Resident memory in MiB, a value for each quarter of a second. */
  readonly memory: readonly number[]
}

const memoryOf = (pid: number): number | undefined => {
  try {
    const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
    return kilobytes === undefined ? undefined : Number(kilobytes) / 1_024
  } catch {
    return undefined
  }
}

const run = async (
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  watch: (child: ChildProcess) => void = () => {},
): Promise<Run> => {
  const startedMs = performance.now()
  const child = spawn(process.execPath, [COMMAND, ...args], { env, stdio: ['ignore', 'pipe', 'inherit'] })
  let out = ''
  child.stdout.on('data', (text: Buffer) => {
    out += text.toString()
  })
  const memory: number[] = []
  let isOver = false
  const ended = new Promise<number | null>((resolve) =>
    child.once('close', (code) => {
      isOver = true
      resolve(code)
    }),
  )
  while (!isOver) {
    const now = memoryOf(child.pid ?? 0)
    if (now !== undefined) memory.push(now)
    watch(child)
    await Promise.race([ended, pauseMs(250)])
  }
  return { code: await ended, out, tookMs: performance.now() - startedMs, memory }
}

const sessionOf = (n: number): object => ({
  cookie: { originalMaxAge: 86_400_000, expires: new Date(Date.now() + 86_400_000), httpOnly: true, path: '/' },
  user: `user-${n}`,
  cart: Array.from({ length: 5 }, (_, at) => ({ article: n * 10 + at, count: at, note: 'x'.repeat(40) })),
})
const idOf = (): string => randomBytes(24).toString('base64url')

/** As connect-redis writes them. */
const fillRedis = async (url: string, count: number): Promise<void> => {
  const client = createClient({ url })
  client.on('error', () => {})
  await client.connect()
  for (let from = 0; from < count; from += 1_000) {
    const step = client.multi()
    for (let n = from; n < Math.min(count, from + 1_000); n += 1)
      step.set(`sess:${idOf()}`, JSON.stringify(sessionOf(n)), { expiration: { type: 'EX', value: 86_400 } })
    await step.exec()
  }
  client.destroy()
}

/** As connect-pg-simple writes them. */
const fillPostgres = async (connectionString: string, count: number): Promise<void> => {
  const client = new pg.Client({ connectionString })
  await client.connect()
  const table = fileURLToPath(new URL('../node_modules/connect-pg-simple/table.sql', import.meta.url))
  await client.query(readFileSync(table, 'utf8'))
  for (let from = 0; from < count; from += 1_000) {
    const numbers = Array.from({ length: Math.min(1_000, count - from) }, (_, at) => from + at)
    await client.query(
      `insert into session select sid, sess::json, now() + interval '1 day' from unnest($1::text[], $2::text[]) as t (sid, sess)`,
      [numbers.map(idOf), numbers.map((n) => JSON.stringify(sessionOf(n)))],
    )
  }
  await client.end()
}

const rounded = (value: number): number => Math.round(value * 10) / 10

const main = async (count: number): Promise<number> => {
  const folder = mkdtempSync(join(tmpdir(), 'nonstick-import-'))
  const [database, cache, redis] = await Promise.all([
    startPostgres({ useEnvironment: false }),
    startMemcached({ memoryMb: 1_024 }),
    startRedis(),
  ])
  try {
    const tiers = {
      PATH: process.env['PATH'] ?? '',
      NONSTICK_CACHE: cache.address,
      NONSTICK_BACKEND: database.adminUrl,
      NONSTICK_POSTGRES_MIGRATE: 'true',
      // A machine that is busy with other work is slow, which is no fault of the import.
      NONSTICK_POSTGRES_QUERY_TIMEOUT_MS: '50s',
      NONSTICK_BACKEND_TIMEOUT_MS: '55s',
    }
    await Promise.all([fillRedis(redis.url, count), fillPostgres(database.adminUrl, count)])
    const figures: object[] = []
    let isFine = true
    for (const [from, at] of [
      ['connect-redis', redis.url],
      ['connect-pg-simple', database.adminUrl],
    ] as const) {
      const env = { ...tiers, NONSTICK_NAMESPACE: from, NONSTICK_IMPORT_FROM: from, NONSTICK_IMPORT_AT: at }
      const file = join(folder, `${from}.json`)
      const args = ['import', '--json', '--resume', file]
      const foundBy = (): number =>
        existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as { counts: { found: number } }).counts.found : 0
      const cut = await run(args, env, (child) => {
        if (foundBy() >= count / 2) child.kill('SIGKILL')
      })
      const before = foundBy()
      const rest = await run(args, env)
      const counts = JSON.parse(rest.out) as Readonly<Record<string, number>>
      const verified = await run(['import', '--json', '--verify'], env)
      const comparison = JSON.parse(verified.out) as Readonly<Record<string, number>>
      const memory = [...cut.memory, ...rest.memory]
      const early = Math.max(...cut.memory.slice(0, Math.max(8, Math.ceil(cut.memory.length / 10))))
      const most = Math.max(...memory)
      const perSecond = Math.round(count / ((cut.tookMs + rest.tookMs) / 1_000))
      const figure = {
        ...{ from, sessions: count, killedAt: before, perSecond },
        ...{
          carried: counts['carried'],
          here: counts['here'],
          same: comparison['same'],
          missing: comparison['missing'],
        },
        ...{ memoryEarlyMib: rounded(early), memoryMostMib: rounded(most) },
        verifiedPerSecond: Math.round(count / (verified.tookMs / 1_000)),
      }
      figures.push(figure)
      console.log(
        `${from}: killed after ${before}, gone on with, ${perSecond} sessions a second in all; ` +
          `${rounded(early)} MiB early, ${rounded(most)} MiB at most; ${comparison['same']} of ${count} verified.`,
      )
      isFine &&= cut.code === null && before < count && rest.code === 0 && verified.code === 0
      isFine &&= comparison['same'] === count && most <= early * MOST_GROWTH
    }
    console.log(JSON.stringify(figures))
    return isFine ? 0 : 1
  } finally {
    await Promise.all([database.stop(), cache.stop(), redis.stop()])
    rmSync(folder, { recursive: true, force: true })
  }
}

const [word = '100000', ...others] = process.argv.slice(2)
if (word === '--help' || word === '-h') console.log(HELP)
else if (others.length > 0 || !/^[1-9]\d{0,6}$/.test(word)) {
  console.error(`scripts/import-scale takes a number of sessions, and got something else.\n\n${HELP}`)
  process.exitCode = 2
} else process.exitCode = await main(Number(word))
