import type { FlushReason, StoreStats } from 'nonstick'
import type { BackendKind } from './behind.js'
import type { DriveReport } from './drive.js'
import { counted } from './words.js'

/** What the run cost, and who counted it. */
export interface Costs {
  /** The sum over the processes, of what the stores counted themselves. */
  readonly stats: StoreStats
  /** As Memcached counted: before the kill and after it. `undefined` for the stand-in. */
  readonly cache: { readonly hits: number; readonly misses: number } | undefined
  readonly backendWrites: number
  /** `undefined` where the backend does not count it. */
  readonly backendReads: number | undefined
  /** App processes that ended without having been asked to. */
  readonly deaths: number
  /** Written by the processes as they ended. */
  readonly drained: number
  /** Still newer in the cache than in the backend after they ended. */
  readonly left: number
}

export interface Machinery {
  readonly processes: number
  readonly front: 'memcached' | 'stand-in'
  readonly frontVersion: string
  readonly backend: BackendKind
  /** As people call it: `PostgreSQL`. */
  readonly backendName: string
  readonly backendVersion: string
  readonly maxStaleCount: number
}

/** The last line: its names and their order are fixed. */
export const jsonLine = (report: DriveReport, costs: Costs, { processes, front, backend }: Machinery): string => {
  const { create, count, claim, time, bypass } = costs.stats.flushes
  return JSON.stringify({
    requests: report.requests,
    processes,
    sessions: report.sessions,
    cacheHits: costs.cache?.hits ?? costs.stats.cacheHits,
    cacheMisses: costs.cache?.misses ?? costs.stats.cacheMisses,
    backendReads: costs.backendReads ?? costs.stats.backendReads,
    backendWrites: costs.backendWrites,
    flushes: { create, count, claim, time, bypass },
    writesSeen: report.writesSeen,
    lostToTheKill: report.lostToTheKill,
    lostBeyondBound: report.lostBeyondBound,
    wrong: report.wrong,
    front,
    backend,
  })
}

/** Why the run failed; empty if it did not. */
export const failures = (report: DriveReport, costs: Costs): readonly string[] => {
  const found: string[] = []
  if (report.wrong > 0) found.push(counted(report.wrong, 'wrong answer'))
  if (report.lostBeyondBound > 0) found.push(`${counted(report.lostBeyondBound, 'change')} lost beyond the bound`)
  if (report.unjudged > 0)
    found.push(`${counted(report.unjudged, 'session')} could not be read from every process at the end`)
  const errors = total(report.errorsOtherwise)
  if (errors > 0) found.push(`${counted(errors, 'request')} failed while nothing was broken`)
  if (costs.deaths > 0) found.push(`${counted(costs.deaths, 'app process', 'app processes')} died`)
  if (costs.left > 0) found.push(`${counted(costs.left, 'session')} could not be written to the backend at the end`)
  return found
}

/** What a number of flushes is called: of one, and of several where that is another word. */
const REASONS: Readonly<Record<FlushReason, readonly [one: string, many?: string]>> = {
  create: ['creation', 'creations'],
  count: ['due by count'],
  claim: ['first change after a miss', 'first changes after a miss'],
  time: ['due by time'],
  bypass: ['while Memcached was away'],
  refused: ['too large for the cache'],
  identify: ['change of user', 'changes of user'],
  durable: ['asked to be durable'],
  regenerate: ['change of id', 'changes of id'],
  drain: ['by ending processes'],
}

const reasonOf = (reason: FlushReason, times: number): string => {
  const [one, many = one] = REASONS[reason]
  return counted(times, one, many)
}

/** For people. */
export const summary = (report: DriveReport, costs: Costs, machinery: Machinery): string => {
  const { stats } = costs
  const { backendName: name } = machinery
  const apps = [...report.answeredBy].sort(([a], [b]) => (a < b ? -1 : 1)).map(([app, count]) => `${app} ${count}`)
  const reasons = (Object.entries(stats.flushes) as [FlushReason, number][])
    .filter(([, times]) => times > 0)
    .map(([reason, times]) => reasonOf(reason, times))
  const errors = total(report.errorsDuringOutage)
  const most = machinery.maxStaleCount - 1
  const rows: [string, string | number, string][] = [
    ['requests', report.requests, `${apps.join(' · ')} · ${(report.durationMs / 1000).toFixed(1)} s`],
    ['changes of sessions', report.writesSeen, `acknowledged, to ${counted(report.sessions, 'session')}`],
    [`writes to ${name}`, costs.backendWrites, reasons.join(' · ')],
    ...writesCompared(costs, name),
    [`reads from ${name}`, costs.backendReads ?? stats.backendReads, readsCompared(costs, name)],
    ['cache hits', costs.cache?.hits ?? stats.cacheHits, hitsCompared(costs)],
    ['cache misses', costs.cache?.misses ?? stats.cacheMisses, ''],
    ['merges', stats.merges, `${counted(stats.conflicts, 'change')} met another's`],
    [
      'the kill',
      '',
      `after ${counted(report.killedAfter, 'answer')}; the cache was away for ${Math.round(report.outageMs)} ms, came back empty, ` +
        `and ${counted(report.answeredWithoutCache, 'request was', 'requests were')} answered meanwhile`,
    ],
    ['errors meanwhile', errors, listed(report.errorsDuringOutage)],
    [
      'changes lost to it',
      report.lostToTheKill,
      `in ${counted(report.sessionsWithLoss, 'session')}, at most ${report.worstLoss} in one; the promise is at most ${most}`,
    ],
    ['lost beyond that', report.lostBeyondBound, ''],
    ['wrong answers', report.wrong, ''],
  ]
  if (report.errorsOtherwise.size > 0)
    rows.push(['other errors', total(report.errorsOtherwise), listed(report.errorsOtherwise)])
  const widthOfName = Math.max(...rows.map(([name]) => name.length))
  const widthOfNumber = Math.max(...rows.map(([, number]) => String(number).length))
  const lines = rows.map(([name, number, words]) =>
    `  ${name.padEnd(widthOfName)}  ${String(number).padStart(widthOfNumber)}  ${words}`.trimEnd(),
  )
  const failed = failures(report, costs)
  return [
    `${counted(machinery.processes, 'process', 'processes')}, ${machinery.frontVersion}, ${name} ${machinery.backendVersion}, maxStaleCount ${machinery.maxStaleCount}`,
    '',
    ...lines,
    '',
    costs.drained > 0 || costs.left > 0
      ? `  As they ended, the processes wrote ${counted(costs.drained, 'session that was', 'sessions that were')} ahead of ${name}; ${counted(costs.left, 'was', 'were')} left.`
      : `  As the processes ended, nothing was ahead of ${name}.`,
    '',
    ...report.complaints.map((complaint) => `  wrong: ${complaint}`),
    failed.length === 0 ? '  Every answer was right.' : `  FAILED: ${failed.join(', ')}.`,
    '',
  ].join('\n')
}

const writesCompared = ({ backendWrites, stats }: Costs, name: string): [string, string | number, string][] =>
  backendWrites === stats.backendWrites
    ? []
    : [
        [
          '',
          '',
          `as ${name} counts; the processes count ${stats.backendWrites}, and ${counted(stats.extensions, 'extension')}`,
        ],
      ]

const readsCompared = ({ backendReads, stats }: Costs, name: string): string => {
  if (backendReads === undefined) return `as the processes count; this ${name} does not`
  return backendReads === stats.backendReads ? '' : `as ${name} counts; the processes count ${stats.backendReads}`
}

const hitsCompared = ({ cache, stats }: Costs): string => {
  if (cache === undefined) return 'as the processes count; the stand-in does not'
  return `as Memcached counts; the processes count ${counted(stats.cacheHits, 'hit')}, ${counted(stats.cacheMisses, 'miss', 'misses')}`
}

const total = (counts: ReadonlyMap<string, number>): number =>
  [...counts.values()].reduce((sum, count) => sum + count, 0)

const listed = (counts: ReadonlyMap<string, number>): string =>
  [...counts].map(([what, count]) => `${count} × ${what}`).join(' · ')
