import { Command, Option } from 'commander'
import { msgpackCodec } from '../../codecs/index.js'
import { runtimeOf } from '../../runtime.js'
import type { StoreOptions } from '../../store/options.js'
import { type Sessions, type StoreFlags, withSessions, withStoreFlags } from '../configuration.js'
import { EndsWith, EXIT } from '../exits.js'
import { wholeNumber } from '../flags.js'
import { compare } from '../import/compare.js'
import { Carrier, type Counts, copy, NO_COUNTS } from '../import/copy.js'
import { type Meant, type SourceFlags, sourceMeant, withSourceFlags } from '../import/flags.js'
import { Reasons, shownReasons } from '../import/reasons.js'
import { resumeIn } from '../import/resume.js'
import type { Source } from '../import/source.js'
import { type Interruption, interruption } from '../interruption.js'
import { duration, report, warn } from '../output.js'
import { progress } from '../progress.js'

interface Flags extends StoreFlags, SourceFlags {
  readonly dryRun?: true
  readonly verify?: true
  readonly rate?: number
  readonly resume?: string
}

const DESCRIPTION =
  'Copies the sessions of another store to this one, under the ids that they have there, so that nobody is logged out. ' +
  'What has ended stays away, and what stands here is left, unless it is an older copy that nobody has changed here. ' +
  'Running it again does no harm. Nothing is removed from the source: purge-source does that.'

/** `nonstick import`: copies the sessions of another store, or compares them. */
export const importCommand = (): Command =>
  withStoreFlags(
    withSourceFlags(
      new Command('import')
        .summary('copy sessions from another store, or compare them')
        .description(DESCRIPTION)
        .option('--dry-run', 'only say what would be copied, and what could not be')
        .option('--verify', 'copy nothing: compare each session with what stands here')
        .addOption(new Option('--rate <number>', 'at most so many a second').argParser(wholeNumber(1, 1_000_000)))
        .option('--resume <file>', 'remember in this file how far it is, and go on from there if it was interrupted'),
    ),
  ).action(async (flags: Flags) => {
    const meant = sourceMeant('import', flags)
    const carrier = new Carrier()
    await withSessions(
      'import',
      flags,
      (sessions, options) => work({ flags, meant, carrier, sessions, options }),
      (said) =>
        carrier.optionsOf({
          ...(meant.kind.identify === undefined ? {} : { identify: meant.kind.identify }),
          ...said,
        }),
    )
  })

interface Job {
  readonly flags: Flags
  readonly meant: Meant
  readonly carrier: Carrier
  readonly sessions: Sessions
  readonly options: StoreOptions<Record<string, unknown>>
}

const work = async (job: Job): Promise<void> => {
  const { flags, meant, options, sessions } = job
  const runtime = runtimeOf(options.runtime)
  const source = await meant.open(runtime)
  const interrupted = interruption()
  try {
    // Nothing of the source is read where the sessions could not be stored.
    await sessions.ready()
    if (flags.verify === true) await verify(job, source, interrupted)
    else await carryAll(job, source, interrupted)
  } finally {
    interrupted.stop()
    await source.close()
  }
}

const carryAll = async (job: Job, source: Source, interrupted: Interruption): Promise<void> => {
  const { flags, meant, carrier, sessions, options } = job
  const isDry = flags.dryRun === true
  const runtime = runtimeOf(options.runtime)
  if (options.identify === undefined && !isDry)
    warn(
      'import',
      'the config module has no `identify`, so that nobody here knows whose the sessions are: a user who is logged out ' +
        'everywhere keeps those that were copied',
    )
  const resume = await resumeIn(isDry ? undefined : flags.resume, meant.fingerprint)
  const reasons = new Reasons()
  const startedAtMs = runtime.monotonicMs()
  const bar = progress(await source.count().catch(() => undefined), runtime)
  let ended: { readonly counts: Counts; readonly isDone: boolean }
  try {
    ended = await copy({
      ...{ sessions, carrier, source, reasons, runtime, isDry, rate: flags.rate },
      codec: options.codec ?? msgpackCodec,
      maxSessionBytes: options.maxSessionBytes ?? 4_194_304,
      from: resume.state?.at,
      counts: resume.state?.counts ?? NO_COUNTS,
      signal: interrupted.signal,
      onPart: async (counts, at) => await resume.keep({ at, counts, isDone: at === undefined }),
      onItem: ({ found }) => bar.at(found),
    })
  } finally {
    bar.end()
  }
  const durationMs = Math.round(runtime.monotonicMs() - startedAtMs)
  const { counts, isDone } = ended
  const result = { ...(isDry ? { dryRun: true } : {}), ...counts, isDone, durationMs, reasons: reasons.list }
  const would = isDry ? 'would be ' : ''
  report(flags, result, () => [
    `${sessionsIn(counts.carried)} ${would}copied in ${duration(durationMs)}.`,
    ...(counts.updated > 0
      ? [`${sessionsIn(counts.updated)} had been copied before and changed there since: brought up to date.`]
      : []),
    ...(counts.here > 0 ? [`${sessionsIn(counts.here)} stood here already, and were left as they are.`] : []),
    ...(counts.ended > 0 ? [`${sessionsIn(counts.ended)} had ended.`] : []),
    ...(counts.refused > 0 ? [`${sessionsIn(counts.refused)} could not be copied:`] : []),
    ...shownReasons(reasons.list),
  ])
  if (!isDone) throw new EndsWith(interrupted.exitCode(), 'it was interrupted. Running it again goes on')
  if (counts.refused > 0) throw new EndsWith(EXIT.fault, 'not all sessions could be copied')
}

const verify = async ({ flags, sessions, options }: Job, source: Source, interrupted: Interruption): Promise<void> => {
  const runtime = runtimeOf(options.runtime)
  const reasons = new Reasons()
  const bar = progress(await source.count().catch(() => undefined), runtime)
  let comparison: Awaited<ReturnType<typeof compare>>
  try {
    comparison = await compare({
      ...{ sessions, source, reasons, runtime },
      signal: interrupted.signal,
      onItem: (found) => bar.at(found),
    })
  } finally {
    bar.end()
  }
  const { same, changedHere, different, missing, ended, unreadable } = comparison
  report(flags, { ...comparison, reasons: reasons.list }, () => [
    `${sessionsIn(same)} are here as they are there.`,
    ...(changedHere > 0 ? [`${sessionsIn(changedHere)} were changed here.`] : []),
    ...(ended > 0 ? [`${sessionsIn(ended)} have ended.`] : []),
    ...(different > 0 ? [`${sessionsIn(different)} are here with other data.`] : []),
    ...(missing > 0 ? [`${sessionsIn(missing)} are not here.`] : []),
    ...(unreadable > 0 ? [`${sessionsIn(unreadable)} cannot be read there.`] : []),
    ...shownReasons(reasons.list),
  ])
  if (interrupted.signal.aborted) throw new EndsWith(interrupted.exitCode(), 'it was interrupted')
  if (different + missing + unreadable > 0)
    throw new EndsWith(EXIT.fault, 'not all sessions are here as they are there')
}

const sessionsIn = (count: number): string => (count === 1 ? '1 session' : `${count} sessions`)
