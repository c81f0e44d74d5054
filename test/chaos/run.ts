import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { RowState } from '../concurrency/row-journal.js'
import type { Violation } from '../simulation/history.js'
import { lotsOf } from '../simulation/random.js'
import type { AppProcess } from './app-process.js'
import { type Cluster, openCluster } from './cluster.js'
import { type BackendKind, drawFaults, PLACES, WIRES } from './faults.js'
import { linesOf } from './lines.js'
import { type Notes, notes } from './notes.js'
import { type RunRecord, recordOf } from './record.js'
import { CACHES } from './store-options.js'
import { storyOf } from './story.js'
import { strikes } from './strikes.js'
import { type Judgement, judgementOf } from './verdict.js'

export interface RunOptions {
  readonly seconds: number
  readonly seed: number
  readonly transport: 'nonstick' | 'memjs'
  readonly sealed: boolean
  readonly backend: BackendKind
  readonly keep: boolean
  readonly print: (line: string) => void
}

/** After this long without a fault every store must work again. */
const SETTLE_MS = 4_000
const CLOSE_DEADLINE_MS = 10_000

/** One run from its seed to the verdict. What it leaves behind is a folder, if a promise was broken or it shall be kept. */
export const run = async ({
  seconds,
  seed,
  transport,
  sealed,
  backend,
  keep,
  print,
}: RunOptions): Promise<Judgement> => {
  const folder = mkdtempSync(join(tmpdir(), 'nonstick-chaos-'))
  const book = notes(join(folder, 'conductor.jsonl'), print)
  const began = book.now()
  const epochMs = Date.now()
  const forget = (): void => rmSync(folder, { recursive: true, force: true })
  // Whoever interrupts a run does not want to know.
  process.once('exit', forget)
  let keepFolder = true
  const cluster = await openCluster({ folder, seed, transport, sealed, backend, notes: book })
  try {
    const counts = await underLoad(cluster, book, seconds, seed)
    const closed = await toTheEnd(cluster, book)
    const rows = await cluster.rows()
    const { judgement, record } = judge(cluster, book, rows, { began, epochMs, seconds, counts, closed })
    const { violations } = judgement
    keepFolder = keep || violations.length > 0
    if (keepFolder) {
      writeFileSync(join(folder, 'rows.json'), JSON.stringify(rows))
      writeFileSync(join(folder, 'moments.json'), JSON.stringify({ began, epochMs }))
      for (const { promise, session, what } of firstOfEach(violations)) print(`VIOLATED ${promise} ${session}: ${what}`)
      for (const name of new Set(violations.map(({ session }) => session)))
        if (name !== '') writeFileSync(join(folder, `story-of-${name}.txt`), storyOf(record, name, rows))
      print(`What happened stands in ${folder}`)
    }
    return judgement
  } catch (error) {
    print(`What happened until then stands in ${folder}`)
    throw error
  } finally {
    process.off('exit', forget)
    await cluster.end()
    if (!keepFolder) forget()
  }
}

/** Of the violations of one promise in one session the first few say enough. */
const firstOfEach = (violations: readonly Violation[]): readonly Violation[] => {
  const counts = new Map<string, number>()
  return violations.filter(({ promise, session }) => {
    const count = (counts.get(`${promise} ${session}`) ?? 0) + 1
    counts.set(`${promise} ${session}`, count)
    return count <= 3
  })
}

const moment = ({ note, now }: Notes, what: 'load' | 'end of load' | 'end' | 'written' | 'over'): void =>
  note({ is: 'moment', at: now(), what })

const underLoad = async (
  cluster: Cluster,
  book: Notes,
  seconds: number,
  seed: number,
): Promise<Partial<Record<string, number>>> => {
  await Promise.all(PLACES.map((place) => cluster.fill(place)))
  moment(book, 'load')
  book.tell(`three processes at work for ${seconds} s; seed ${seed}`)
  const endsAt = book.now() + seconds * 1_000
  const began = book.now()
  const striking = strikes(cluster, book, () => book.now() >= endsAt)
  const faults = drawFaults(lotsOf(seed, 'faults'), seconds, cluster.behind.weather)
  await Promise.all(
    faults.map(async (fault) => {
      await sleep(began + fault.at - book.now())
      await striking.strike(fault)
    }),
  )
  await sleep(endsAt - book.now())
  return striking.counts
}

/**
 * Everything heals; every process that lived through the faults looks at every session, changes it durably, and closes;
 * then one that has seen nothing looks, and looks again when the cache has lost everything.
 */
const toTheEnd = async (cluster: Cluster, book: Notes): Promise<readonly Closed[]> => {
  for (const place of PLACES) for (const name of WIRES) cluster.wire(place, name).heal()
  moment(book, 'end of load')
  book.tell('the load ends; nothing fails any more')
  const apps = PLACES.map((place) => cluster.apps.get(place)).filter((app) => app !== undefined)
  await Promise.all(apps.map((app) => app.stop()))
  await sleep(SETTLE_MS)
  const sessions = cluster.everKnown()
  moment(book, 'end')
  book.tell(`everyone looks at all ${sessions.length} sessions`)
  await Promise.all(apps.map((app) => app.look('end1', sessions)))
  const living = cluster.living()
  await Promise.all(
    apps.map((app, at) =>
      app.write(
        'end',
        living.filter((_, index) => index % apps.length === at),
      ),
    ),
  )
  const closed = await Promise.all(apps.map((app) => close(app, book)))
  moment(book, 'written')
  const fresh = await cluster.fresh()
  book.tell('all have closed; one that has seen nothing looks, and again with an empty cache')
  await fresh.look('end2', sessions)
  for (const [at, cache] of cluster.caches.entries()) {
    book.note({ is: 'lost', at: book.now(), server: CACHES[at] ?? '', why: 'flushed at the end' })
    await cache.flush()
  }
  await fresh.look('end3', sessions)
  moment(book, 'over')
  return closed
}

interface Closed {
  readonly app: string
  readonly left: number
  readonly destroysLeft: number
}

const close = async (app: AppProcess, { note, now }: Notes): Promise<Closed> => {
  const report = await app.close(CLOSE_DEADLINE_MS)
  note({ is: 'gone', at: now(), app: app.name, closed: true })
  return { app: app.name, ...report }
}

interface Known {
  readonly began: number
  readonly epochMs: number
  readonly seconds: number
  readonly counts: Partial<Record<string, number>>
  readonly closed: readonly Closed[]
}

const judge = (
  cluster: Cluster,
  book: Notes,
  rows: readonly RowState[],
  known: Known,
): { readonly judgement: Judgement; readonly record: RunRecord } => {
  const histories = new Map(
    cluster.historyFiles().map((file) => [basename(file, '.jsonl'), linesOf(readFileSync(file, 'utf8'))] as const),
  )
  const record = recordOf(histories, book.all, rows, known.began)
  const counts = Object.fromEntries(Object.entries(known.counts).map(([kind, count]) => [kind, count ?? 0]))
  const judgement = judgementOf(record, rows, known.seconds, counts, known.epochMs)
  // With everything well again nothing may be left.
  const left = known.closed
    .filter(({ left, destroysLeft }) => left + destroysLeft > 0)
    .map(({ app, left, destroysLeft }) => ({
      promise: 'I8',
      session: '',
      at: 0,
      what: `${app} left ${left} sessions and ${destroysLeft} destroys at the end, though nothing failed any more`,
    }))
  const violations = [...judgement.violations, ...left]
  return { judgement: { verdict: { ...judgement.verdict, violations: violations.length }, violations }, record }
}
