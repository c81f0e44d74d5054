import type { SaveOptions } from '../contract/session-store.js'
import { SessionStoreError } from '../errors.js'
import type { Handle } from './handle.js'

export interface UpdateSteps<Data> {
  readonly load: (id: string) => Promise<Handle<Data> | undefined>
  /** Stores `handle.data`; `false` if another process came between and nothing was stored. */
  readonly write: (handle: Handle<Data>, options: SaveOptions) => Promise<boolean>
  /** The data as it was loaded, in a copy of its own. */
  readonly fresh: (handle: Handle<Data>) => Data
  readonly maxAttempts: number
}

export type Update<Data> = (
  id: string,
  change: (data: Data) => unknown,
  options: SaveOptions,
) => Promise<Handle<Data> | undefined>

interface Waiting<Data> {
  readonly change: (data: Data) => unknown
  readonly options: SaveOptions
  readonly resolve: (session: Handle<Data> | undefined) => void
  readonly reject: (error: unknown) => void
}

/**
 * Atomic read-modify-write. Changes of one session that arrive while a round is under way make up the next
 * round together: one load, all changes in order of arrival, one save. A change that throws is rejected alone
 * and leaves no trace; a save that another process came before makes the whole round start again.
 */
export const updating = <Data>(steps: UpdateSteps<Data>): Update<Data> => {
  const queues = new Map<string, Waiting<Data>[]>()

  const work = async (id: string, queue: Waiting<Data>[]): Promise<void> => {
    while (queue.length > 0) {
      const round = queue.splice(0)
      try {
        await runRound(id, round)
      } catch (error) {
        for (const { reject } of round) reject(error)
      }
    }
    queues.delete(id)
  }

  const runRound = async (id: string, round: Waiting<Data>[]): Promise<void> => {
    for (let attempt = 0; attempt < steps.maxAttempts; attempt += 1) {
      const handle = await steps.load(id)
      if (handle === undefined) {
        for (const { resolve } of round) resolve(undefined)
        return
      }
      await applyAll(handle, round)
      if (round.length === 0) return
      if (await steps.write(handle, together(round))) {
        for (const { resolve } of round) resolve(handle)
        return
      }
    }
    throw new SessionStoreError(
      'E_SESSION_CONFLICT',
      `The session could not be updated in ${steps.maxAttempts} attempts`,
      {
        applied: 'no',
      },
    )
  }

  /** Applies every change; one that throws is taken out of the round, and the others are applied anew. */
  const applyAll = async (handle: Handle<Data>, round: Waiting<Data>[]): Promise<void> => {
    for (let index = 0; index < round.length; index += 1) {
      const waiting = round[index]
      try {
        await waiting?.change(handle.data)
      } catch (error) {
        waiting?.reject(error)
        round.splice(index, 1)
        handle.data = steps.fresh(handle)
        index = -1
      }
    }
  }

  return (id, change, options) =>
    new Promise((resolve, reject) => {
      const queue = queues.get(id)
      const waiting: Waiting<Data> = { change, options, resolve, reject }
      if (queue !== undefined) {
        queue.push(waiting)
        return
      }
      const started = [waiting]
      queues.set(id, started)
      void work(id, started)
    })
}

/** Durable if any of them asked for it; the last idle time-out that was given counts. */
const together = <Data>(round: readonly Waiting<Data>[]): SaveOptions => {
  const idleTtlMs = round.findLast(({ options }) => options.idleTtlMs !== undefined)?.options.idleTtlMs
  return {
    durable: round.some(({ options }) => options.durable === true),
    ...(idleTtlMs === undefined ? {} : { idleTtlMs }),
  }
}
