import { passOn } from './waiting.js'

/** Those that wait for each signal, and how to stop listening to it. */
const waiting = new WeakMap<AbortSignal, { readonly all: Set<() => void>; readonly unlisten: () => void }>()

/**
 * Calls `callback` when the signal is aborted, unless it is cancelled before. However many wait for one signal, it has a
 * single listener of ours, since Node warns of a leak where a signal has more than ten. When nobody waits any more, it
 * has none.
 *
 * @returns cancels it
 */
export const onAbort = (signal: AbortSignal, callback: () => void): (() => void) => {
  const those = waiting.get(signal) ?? listenTo(signal)
  those.all.add(callback)
  return () => {
    if (those.all.delete(callback) && those.all.size === 0) those.unlisten()
  }
}

const listenTo = (signal: AbortSignal): { readonly all: Set<() => void>; readonly unlisten: () => void } => {
  const all = new Set<() => void>()
  const unlisten = (): void => {
    waiting.delete(signal)
    signal.removeEventListener('abort', tellAll)
  }
  const tellAll = (): void => {
    unlisten()
    for (const callback of all) callback()
    all.clear()
  }
  const those = { all, unlisten }
  waiting.set(signal, those)
  signal.addEventListener('abort', tellAll)
  return those
}

/**
 * Settles as `work` does, or rejects with `aborted()` as soon as the signal is aborted. The work itself is not stopped;
 * how it ends after that is ignored, even if it fails. Nothing of it is left on the signal when this has settled, so that
 * a signal may outlive any number of calls.
 */
export const unlessAborted = <T>(signal: AbortSignal, work: Promise<T>, aborted: () => unknown): Promise<T> =>
  new Promise((resolve, reject) => {
    const giveUp = (): void => reject(aborted())
    const cancel = onAbort(signal, giveUp)
    // A signal that is aborted already tells nobody any more.
    if (signal.aborted) {
      cancel()
      giveUp()
    }
    passOn(work, cancel, resolve, reject)
  })
