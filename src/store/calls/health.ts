import type { StoreHealth } from '../../contract/session-store.js'
import type { Context } from '../context.js'

/** Asks both tiers at once how they are, and sums up what that means for the sessions. */
export const health = async ({ cache, backend }: Pick<Context, 'cache' | 'backend'>): Promise<StoreHealth> => {
  const [front, back] = await Promise.all([cache.health(), backend.health()])
  const impaired = front.state !== 'up' || back.state !== 'up'
  const down = front.state === 'down' && back.state === 'down'
  return { state: down ? 'down' : impaired ? 'degraded' : 'up', cache: front, backend: back }
}
