import type { Runtime } from '../../contract/time.js'
import { type Finding, isOnThisMachine } from './finding.js'
import { skewOf } from './judge-memcached.js'

/** HTTP tells the date in whole seconds. */
const RESOLUTION_MS = 1_500
const TIMEOUT_MS = 5_000

/** What is wrong with a server of CouchDB that cannot be seen from the calls of the store. */
export const examineCouchdb = async (
  url: string,
  { runtime, maxClockSkewMs }: { readonly runtime: Runtime; readonly maxClockSkewMs: number },
): Promise<readonly Finding[]> => {
  const { protocol, hostname, port, origin } = new URL(url)
  const tier = `couchdb ${hostname}:${port || (protocol === 'https:' ? '443' : '80')}`
  return [...inTheClear(tier, protocol, hostname), ...(await clock(tier, origin, runtime, maxClockSkewMs))]
}

const inTheClear = (tier: string, protocol: string, hostname: string): readonly Finding[] =>
  protocol === 'https:' || isOnThisMachine(hostname)
    ? []
    : [
        {
          check: 'backend-tls',
          severity: 'warning',
          tier,
          finding: 'Sessions and the password travel to another machine, and the connection is not encrypted.',
          cure: 'Use an https URL: CouchDB has TLS of its own (port 6984), or put a proxy in front of it.',
        },
      ]

/** The date of any answer will do, also of a refusal: no login is needed. */
const clock = async (
  tier: string,
  origin: string,
  runtime: Runtime,
  maxClockSkewMs: number,
): Promise<readonly Finding[]> => {
  const giveUp = new AbortController()
  const cancel = runtime.after(TIMEOUT_MS, () => giveUp.abort())
  const before = runtime.now()
  const answer = await fetch(origin, { signal: giveUp.signal }).catch(() => undefined)
  cancel()
  await answer?.body?.cancel().catch(() => {})
  const date = Date.parse(answer?.headers.get('date') ?? '')
  if (Number.isNaN(date)) return []
  const uncertaintyMs = (runtime.now() - before) / 2
  const aheadMs = Math.round(date + 500 - before - uncertaintyMs)
  return skewOf('backend-clock', tier, aheadMs, maxClockSkewMs + uncertaintyMs + RESOLUTION_MS, maxClockSkewMs)
}
