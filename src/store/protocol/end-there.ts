import type { Locator } from '../../contract/locator.js'
import type { DestroyReport } from '../../contract/session-store.js'
import { butMayBeApplied } from '../../errors.js'
import type { Context } from '../context.js'
import { type DestroyHow, destroy } from './destroy.js'

/*
 * A session that has ended here is ended in the old store as well, which otherwise would go on serving it to processes
 * that still work on that store. Where it cannot be told, it is told again until it has heard.
 */

/**
 * Destroys a session in both tiers and in the old store, where one is given. The tiers come first: from then on the session
 * cannot be taken over any more by whoever has just read it there. Rejects if one of them could not be told, and goes on
 * trying.
 */
export const destroyEverywhere = async (
  context: Context,
  id: string,
  locator: Locator,
  how: DestroyHow,
): Promise<DestroyReport> => {
  const ended = destroy(context, locator, how)
  // Nobody else has heard of such an id, so the old store has nothing under it.
  if (context.legacy === undefined || how.isNew === true) return await ended
  const [here] = await Promise.allSettled([ended])
  await endThere(context, locator, id)
  if (here.status === 'rejected') throw here.reason
  return here.value
}

/** Ends the session in the old store, where one is given. Rejects where it could not be told, and goes on trying. */
export const endThere = async (context: Context, locator: Locator, id: string): Promise<void> => {
  const { legacy } = context
  if (legacy === undefined) return
  try {
    await legacy.destroy(id)
  } catch (error) {
    retry(context, locator, id)
    // It has ended in both tiers.
    throw butMayBeApplied(error)
  }
}

/** The same, beside the answer. */
export const endThereLater = (context: Context, locator: Locator, id: string): void => {
  if (context.legacy === undefined) return
  context.background.run('destroy', () => endThere(context, locator, id).catch(() => {}))
}

const retry = ({ background, legacy }: Context, { key }: Locator, id: string): void =>
  background.retry(`end there ${key}`, 'destroy', async () => {
    await legacy?.destroy(id)
    return true
  })
