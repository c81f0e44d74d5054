import { Command, Option } from 'commander'
import {
  type Backend,
  type ForeseesPurge,
  foreseesPurge,
  type PurgeForecastOptions,
  type PurgeOptions,
  purgeGraceOf,
} from '../../contract/backend.js'
import type { Runtime } from '../../contract/time.js'
import { runtimeOf } from '../../runtime.js'
import { type StoreFlags, storeOptions, withStoreFlags } from '../configuration.js'
import { EndsWith, UsageError } from '../exits.js'
import { milliseconds, wholeNumber } from '../flags.js'
import { type Interruption, interruption } from '../interruption.js'
import { duration, report } from '../output.js'
import { progress } from '../progress.js'

interface Flags extends StoreFlags {
  readonly dryRun?: true
  readonly olderThan?: number
  readonly batch: number
}

const USUAL_BATCH = 500

const DESCRIPTION =
  'Removes what has expired from the backend: sessions a day after their end, and the tombstones of destroyed sessions ' +
  'whose time is over, in batches, oldest first. Ctrl-C ends it after the batch that is under way; running it again ' +
  'goes on. Several may run at once. Whether an application purges by itself says its option `purgeEveryMs`.'

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
      )
      .addOption(
        new Option('--batch <number>', 'how many are removed at once, 1 to 10000 [500]')
          .argParser(wholeNumber(1, 10_000))
          .default(USUAL_BATCH, '500'),
      ),
  ).action(async (flags: Flags) => purge(flags))

const purge = async (flags: Flags): Promise<void> => {
  const { options } = await storeOptions('purge', flags)
  const { backend, cache } = options
  const runtime = runtimeOf(options.runtime)
  if (backend === undefined) return
  const graceMs = purgeGraceOf(flags.olderThan)
  try {
    if (flags.dryRun === true) await foretell(backend, { now: runtime.now(), graceMs }, flags)
    else await remove(backend, { limit: flags.batch, graceMs }, flags, runtime)
  } finally {
    await Promise.all([backend.close(), cache?.close()])
  }
}

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
  backend: Backend,
  options: Pick<PurgeOptions, 'limit' | 'graceMs'>,
  flags: Flags,
  runtime: Runtime,
): Promise<void> => {
  const graceMs = options.graceMs ?? 0
  // Only for the bar: where it cannot be said, there is none.
  const total = foreseesPurge(backend)
    ? await removable(backend, { now: runtime.now(), graceMs }).catch(() => undefined)
    : undefined
  const bar = progress(total, runtime)
  const interrupted = interruption()
  const startedAtMs = runtime.monotonicMs()
  let removed = 0
  let more = true
  try {
    while (more && !interrupted.signal.aborted) {
      const outcome = await backend.purge({ ...options, now: runtime.now() })
      removed += outcome.removed
      more = outcome.more
      bar.at(removed)
    }
  } finally {
    bar.end()
    interrupted.stop()
  }
  const durationMs = Math.round(runtime.monotonicMs() - startedAtMs)
  report(flags, { removed, more, durationMs }, () => [`${rows(removed)} removed in ${duration(durationMs)}.`])
  if (more) throw endOf(interrupted)
}

const endOf = (interrupted: Interruption): EndsWith =>
  new EndsWith(interrupted.exitCode(), 'it was interrupted, and there is more to remove. Running it again goes on')

const rows = (count: number): string => (count === 1 ? '1 session or tombstone' : `${count} sessions and tombstones`)
