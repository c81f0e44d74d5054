import { Command, Option } from 'commander'
import {
  type Backend,
  type ForeseesPurge,
  foreseesPurge,
  type PurgeForecastOptions,
  purgeGraceOf,
} from '../../contract/backend.js'
import type { PurgeReport } from '../../contract/session-store.js'
import type { Runtime } from '../../contract/time.js'
import { isSessionStoreError } from '../../errors.js'
import { runtimeOf } from '../../runtime.js'
import { type Sessions, type StoreFlags, withSessions, withStoreFlags } from '../configuration.js'
import { EndsWith, EXIT, UsageError } from '../exits.js'
import { milliseconds } from '../flags.js'
import { type Interruption, interruption } from '../interruption.js'
import { duration, report } from '../output.js'
import { progress } from '../progress.js'

interface Flags extends StoreFlags {
  readonly dryRun?: true
  readonly olderThan?: number
}

const DESCRIPTION =
  'Removes what has expired from the backend: sessions a day after their end, and the tombstones of destroyed sessions ' +
  'whose time is over, in batches, oldest first. Ctrl-C ends it after the batch that is under way; running it again ' +
  'goes on. Several take turns. Whether an application purges by itself says its option `purgeEveryMs`.'

/** `nonstick purge`: removes what has expired. */
export const purgeCommand = (): Command =>
  withStoreFlags(
    new Command('purge')
      .summary('remove what has expired')
      .description(DESCRIPTION)
      .option('--dry-run', 'only say how much would be removed')
      .addOption(
        new Option(
          '--older-than <duration>',
          'keep a session so long after its end, such as 12h or 7d [1d]: for as long as it may be in use after an outage of the backend',
        ).argParser(milliseconds(0)),
      ),
  ).action(async (flags: Flags) => purge(flags))

const purge = async (flags: Flags): Promise<void> =>
  await withSessions('purge', flags, async (sessions, options) => {
    const { backend } = options
    const runtime = runtimeOf(options.runtime)
    if (backend === undefined) return
    const graceMs = purgeGraceOf(flags.olderThan)
    if (flags.dryRun === true) await foretell(backend, { now: runtime.now(), graceMs }, flags)
    else await remove(sessions, backend, { flags, graceMs, runtime })
  })

const removable = async (backend: ForeseesPurge, options: PurgeForecastOptions): Promise<number> =>
  (await backend.planPurge(options)).reduce((sum, plan) => sum + plan.removable, 0)

const foretell = async (backend: Backend, options: PurgeForecastOptions, flags: Flags): Promise<void> => {
  if (!foreseesPurge(backend))
    throw new UsageError(
      `Expected no --dry-run: the backend ${backend.name} cannot say beforehand what it would remove`,
    )
  const count = await removable(backend, options)
  report(flags, { dryRun: true, removable: count }, () => [`${rows(count)} would be removed.`])
}

const remove = async (
  sessions: Sessions,
  backend: Backend,
  { flags, graceMs, runtime }: { readonly flags: Flags; readonly graceMs: number; readonly runtime: Runtime },
): Promise<void> => {
  // Only for the bar: where it cannot be said, there is none.
  const total = foreseesPurge(backend)
    ? await removable(backend, { now: runtime.now(), graceMs }).catch(() => undefined)
    : undefined
  const bar = progress(total, runtime)
  const interrupted = interruption()
  const startedAtMs = runtime.monotonicMs()
  let soFar: PurgeReport = { removed: 0, inUse: 0, unsure: 0, more: true }
  try {
    soFar = await sessions.purge({
      graceMs,
      signal: interrupted.signal,
      onProgress: (done) => {
        soFar = done
        bar.at(done.removed)
      },
    })
  } catch (error) {
    if (!isSessionStoreError(error, 'E_ABORTED')) throw error
    soFar = { ...soFar, more: true }
  } finally {
    bar.end()
    interrupted.stop()
  }
  const durationMs = Math.round(runtime.monotonicMs() - startedAtMs)
  report(flags, { ...soFar, durationMs }, () => [
    `${rows(soFar.removed)} removed in ${duration(durationMs)}.`,
    ...(soFar.inUse > 0 ? [`${soFar.inUse} sessions live in the cache, and were extended.`] : []),
    ...(soFar.unsure > 0 ? [`${soFar.unsure} were left, as the cache that may have them could not be asked.`] : []),
  ])
  if (interrupted.signal.aborted) throw endOf(interrupted)
  if (soFar.more) throw new EndsWith(EXIT.fault, 'there is more to remove. Running it again goes on')
}

const endOf = (interrupted: Interruption): EndsWith =>
  new EndsWith(interrupted.exitCode(), 'it was interrupted, and there may be more to remove. Running it again goes on')

const rows = (count: number): string => (count === 1 ? '1 session or tombstone' : `${count} sessions and tombstones`)
