import type { Cancel, Runtime } from '../../contract/time.js'
import { jittered } from '../../tools/waiting.js'

/** The purge that happens by itself, again and again, from the first call of a store to its end. */
export interface SelfPurge {
  /** Has to be called at each call of the store. The first one sets the time of the first purge. */
  begin(): void
  /** From now on no purge begins. */
  stop(): void
}

/** What the store holds, and its timer only weakly. */
interface Purger {
  readonly purge: () => Promise<void>
  state: 'unused' | 'in use' | 'stopped'
  cancel: Cancel
}

/**
 * @param everyMs the time between two purges, give or take a half, so that the processes of a fleet do not purge in
 *   step. 0: there is no purge
 * @param purge purges once. Never rejects.
 */
export const selfPurge = (runtime: Runtime, everyMs: number, purge: () => Promise<void>): SelfPurge => {
  const purger: Purger = { purge, state: everyMs === 0 ? 'stopped' : 'unused', cancel: () => {} }
  return {
    begin: () => {
      if (purger.state !== 'unused') return
      purger.state = 'in use'
      arm(runtime, everyMs, purger)
    },
    stop: () => {
      purger.state = 'stopped'
      purger.cancel()
    },
  }
}

const arm = (runtime: Runtime, everyMs: number, purger: Purger): void => {
  purger.cancel = runtime.after(jittered(runtime, everyMs), ring(runtime, everyMs, new WeakRef(purger)))
}

/**
 * What the timer calls. It must hold nothing of the store: a store that its program has forgotten without closing it
 * would otherwise live, and purge, for as long as the process. So it stands in a function of its own.
 */
const ring =
  (runtime: Runtime, everyMs: number, held: WeakRef<Purger>): (() => void) =>
  () => {
    const purger = held.deref()
    if (purger?.state !== 'in use') return
    void purger.purge().then(() => {
      if (purger.state === 'in use') arm(runtime, everyMs, purger)
    })
  }
