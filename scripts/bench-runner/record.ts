/** The record of a run, which the next run is compared with. */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { arch, cpus, platform, release, totalmem } from 'node:os'
import type { Effort, FamilyResult } from './bench.js'
import { type Family, rounded, type Verdict } from './goals.js'
import { type Measure, summarized } from './rounds.js'

/** On what, and of what, something was measured. */
export interface Circumstances {
  readonly machine: string
  readonly node: string
  /** The servers, and the packages that nonstick is measured beside. */
  readonly versions: Readonly<Record<string, string>>
  /** Short; with `+` where something in the working tree was not committed. */
  readonly commit: string
  /** The day, as `yyyy-mm-dd` in UTC. */
  readonly day: string
  readonly effort: Effort
}

/** One row of a table: the medians, with their spread. */
export interface RecordedCase {
  readonly group: string
  readonly name: string
  readonly medians: Partial<Readonly<Record<Measure, number>>>
  readonly spreads: Partial<Readonly<Record<Measure, number>>>
}

export interface RecordedFamily {
  readonly circumstances: Circumstances
  readonly cases: readonly RecordedCase[]
  readonly notes: readonly string[]
}

/** A family that did not run stays as it was. */
export interface BenchRecord {
  /** Of the last run that wrote a record. */
  readonly commit: string
  /** What the figures were that have been measured anew since. */
  readonly before: Readonly<Record<string, number>>
  readonly families: Partial<Readonly<Record<Family, RecordedFamily>>>
  readonly figures: Readonly<Record<string, number>>
  readonly spreads: Readonly<Record<string, number>>
}

const BESIDE = [
  ...['express', 'express-session', 'connect-memcached', 'connect-redis', 'connect-pg-simple', 'fastify', 'hono'],
  ...['memjs', 'memcached', 'memcache-client', 'redis', 'pg', 'msgpackr'],
]

const versionOf = (name: string): string =>
  (
    JSON.parse(readFileSync(new URL(`../../node_modules/${name}/package.json`, import.meta.url), 'utf8')) as {
      version: string
    }
  ).version

/** What git says; of a tree without git, nothing is known. */
const git = (...args: readonly string[]): string | undefined => {
  try {
    return execFileSync('git', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
  } catch {
    return undefined
  }
}

const commitOf = (): string => {
  const commit = git('rev-parse', '--short', 'HEAD')
  if (commit === undefined) return 'unknown'
  return git('status', '--porcelain', '--', 'src', 'sql', 'scripts', 'package-lock.json') === '' ? commit : `${commit}+`
}

export const circumstances = (effort: Effort, results: readonly FamilyResult[], now: Date): Circumstances => {
  const processors = cpus()
  const gigabytes = Math.round(totalmem() / 2 ** 30)
  return {
    machine: `${processors.length} × ${processors[0]?.model.trim() ?? 'unknown'}, ${gigabytes} GB, ${platform()} ${release().split('-')[0]} ${arch()}`,
    node: process.versions.node,
    versions: Object.assign(
      {},
      ...results.map(({ versions }) => versions ?? {}),
      Object.fromEntries(BESIDE.map((name) => [name, versionOf(name)])),
    ) as Readonly<Record<string, string>>,
    commit: commitOf(),
    day: now.toISOString().slice(0, 10),
    effort: { seconds: effort.seconds, rounds: effort.rounds, quick: effort.quick },
  }
}

/** What stays of a family. */
export const recordedFamily = ({ measured, columns, notes = [] }: FamilyResult, on: Circumstances): RecordedFamily => ({
  circumstances: on,
  notes,
  cases: measured.map((one) => {
    const known = columns.flatMap((measure) => {
      const summary = summarized(one, measure)
      return summary.rounds === 0 ? [] : [{ measure, summary }]
    })
    return {
      group: one.group,
      name: one.name,
      medians: Object.fromEntries(known.map(({ measure, summary }) => [measure, rounded(summary.median)])),
      spreads: Object.fromEntries(known.map(({ measure, summary }) => [measure, rounded(summary.spread)])),
    }
  }),
})

/** The record after a run: what ran is new, and the rest is as it was. */
export const recordOf = (
  before: BenchRecord | undefined,
  results: readonly FamilyResult[],
  verdict: Verdict,
  on: Circumstances,
): BenchRecord => ({
  commit: on.commit,
  before: {
    ...before?.before,
    ...Object.fromEntries(Object.entries(before?.figures ?? {}).filter(([name]) => name in verdict.figures)),
  },
  families: {
    ...before?.families,
    ...Object.fromEntries(results.map((result) => [result.family, recordedFamily(result, on)])),
  },
  figures: { ...before?.figures, ...verdict.figures },
  spreads: { ...before?.spreads, ...verdict.spreads },
})

/** `undefined` where nothing was recorded yet. */
export const readRecord = (path: URL): BenchRecord | undefined =>
  existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as BenchRecord) : undefined
