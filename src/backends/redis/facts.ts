/** What a server says of itself, and what of it Redis cannot make good: it is said, since nothing else shows it in time. */
import { numberIn } from './rows.js'

export interface ServerFacts {
  /** `7.0.15` */
  readonly version: string
  /** The server's name of itself until it is started anew, by which two answers are told to be of the same one. */
  readonly runId: string
  readonly isMaster: boolean
  readonly isInCluster: boolean
  readonly isLoading: boolean
  readonly maxMemoryBytes: number
  readonly usedMemoryBytes: number
  readonly evictionPolicy: string
  readonly evictedKeys: number
  readonly isAppendOnly: boolean
  /** `always`, `everysec` or `no`; `undefined` where the user may not ask. */
  readonly appendFsync: string | undefined
  readonly replicas: number
  /** How many replicas must be connected for changes; `undefined` where the user may not ask. */
  readonly minReplicasToWrite: number | undefined
}

/** Something about a server that a promise of nonstick's stumbles over. */
export interface Weakness {
  readonly check: 'version' | 'role' | 'eviction' | 'persistence' | 'fsync' | 'replicas'
  /** `fault`: sessions are lost, or cannot be kept. `warning`: they are in some case. `note`: it is to be known. */
  readonly severity: 'fault' | 'warning' | 'note'
  /** What is so, in a sentence. */
  readonly finding: string
  /** What to do about it, in a sentence. */
  readonly cure: string
}

/** The first version whose functions may ask for the time and write after it, and which knows users. */
const LEAST_VERSION = 6

/**
 * @param info the answer to INFO
 * @param config some settings by their names, as far as the user may ask for them
 */
export const factsOf = (info: string, config: ReadonlyMap<string, string> = new Map()): ServerFacts => {
  const lines = info.split(/\r?\n/).map((line) => /^([a-z_0-9]+):(.*)$/.exec(line))
  const fields = new Map(lines.flatMap((line) => (line === null ? [] : [[line[1] ?? '', line[2] ?? ''] as const])))
  const of = (name: string): string => fields.get(name) ?? ''
  const minReplicas = config.get('min-replicas-to-write') ?? config.get('min-slaves-to-write')
  return {
    version: of('redis_version'),
    runId: of('run_id'),
    isMaster: of('role') === 'master',
    isInCluster: of('cluster_enabled') === '1',
    isLoading: of('loading') === '1',
    maxMemoryBytes: numberIn(of('maxmemory')),
    usedMemoryBytes: numberIn(of('used_memory')),
    evictionPolicy: of('maxmemory_policy'),
    evictedKeys: numberIn(of('evicted_keys')),
    isAppendOnly: of('aof_enabled') === '1',
    appendFsync: config.get('appendfsync'),
    replicas: numberIn(of('connected_slaves')),
    minReplicasToWrite: minReplicas === undefined ? undefined : Number(minReplicas),
  }
}

/** Why a server cannot be used at all; `undefined` where it can. In words that follow "because". */
export const unfitBecause = (
  facts: ServerFacts,
  { throughCluster }: { readonly throughCluster: boolean },
): string | undefined => {
  if (isTooOld(facts)) return `it is Redis ${facts.version}, and ${LEAST_VERSION}.0 is the first that can be used`
  if (facts.isInCluster && !throughCluster)
    return 'it is a node of a cluster; give `url` as `redis+cluster://…`, or the client of a cluster'
  if (facts.isLoading) return 'it is loading its data'
  if (!facts.isMaster) return 'it is a replica, and takes no changes'
  return undefined
}

/** What is weak about a server, the worst first. */
export const weaknessesOf = (facts: ServerFacts, waitsFor: number): readonly Weakness[] => [
  ...version(facts),
  ...eviction(facts),
  ...persistence(facts),
  ...replicas(facts, waitsFor),
]

const isTooOld = ({ version: text }: ServerFacts): boolean => Number.parseInt(text, 10) < LEAST_VERSION

const version = (facts: ServerFacts): readonly Weakness[] =>
  isTooOld(facts)
    ? [
        {
          check: 'version',
          severity: 'fault',
          finding: `It is Redis ${facts.version}, whose functions cannot do what nonstick’s must.`,
          cure: `Use Redis ${LEAST_VERSION}.0 or newer, or Valkey.`,
        },
      ]
    : []

const eviction = ({ evictionPolicy, maxMemoryBytes, evictedKeys }: ServerFacts): readonly Weakness[] => {
  if (evictionPolicy === 'noeviction' || evictionPolicy === '') return []
  const what = evictionPolicy.startsWith('allkeys')
    ? 'sessions, tombstones and the records of users'
    : 'sessions and tombstones'
  const cure =
    'Set `maxmemory-policy noeviction`, so that a full server refuses changes in place of forgetting sessions.'
  if (evictedKeys > 0)
    return [
      {
        check: 'eviction',
        severity: 'fault',
        finding: `Its memory was full, and by \`maxmemory-policy ${evictionPolicy}\` it has thrown away ${evictedKeys} keys, which may have been ${what}.`,
        cure,
      },
    ]
  return [
    {
      check: 'eviction',
      severity: maxMemoryBytes > 0 ? 'fault' : 'warning',
      finding: `With \`maxmemory-policy ${evictionPolicy}\` it throws away ${what} once its memory is full${maxMemoryBytes > 0 ? '' : ', should `maxmemory` ever be set'}.`,
      cure,
    },
  ]
}

const persistence = ({ isAppendOnly, appendFsync }: ServerFacts): readonly Weakness[] => {
  if (!isAppendOnly)
    return [
      {
        check: 'persistence',
        severity: 'fault',
        finding:
          'It keeps no log of changes (`appendonly no`), so that a crash loses all that came after its last snapshot, destroyed sessions that come back among it.',
        cure: 'Set `appendonly yes`.',
      },
    ]
  if (appendFsync === 'no')
    return [
      {
        check: 'fsync',
        severity: 'warning',
        finding:
          'With `appendfsync no` a crash of the machine loses what the system had not written yet, mostly half a minute of changes.',
        cure: 'Set `appendfsync everysec`, or `always` where not a second may be lost.',
      },
    ]
  if (appendFsync === 'always') return []
  return [
    {
      check: 'fsync',
      severity: 'note',
      finding:
        appendFsync === undefined
          ? 'How often it writes its log to the disk could not be asked (`appendfsync`); with the usual `everysec` a crash loses about the last second.'
          : 'With `appendfsync everysec` a crash of the server or of its machine loses about the last second of changes.',
      cure: 'Set `appendfsync always`, or `wait` for replicas, where not a second may be lost.',
    },
  ]
}

const replicas = ({ replicas: connected, minReplicasToWrite }: ServerFacts, waitsFor: number): readonly Weakness[] => {
  if (connected < waitsFor)
    return [
      {
        check: 'replicas',
        severity: 'fault',
        finding: `It has ${connected} connected replicas, and \`wait\` asks for ${waitsFor}: no change is acknowledged.`,
        cure: 'Start the replicas, or let `wait` ask for fewer.',
      },
    ]
  if (connected === 0)
    return [
      {
        check: 'replicas',
        severity: 'note',
        finding:
          'It has no replica: while it is away, sessions live in the cache alone, and its disk has the only copy.',
        cure: 'Add a replica and Sentinel, or use a cluster, where that is too little.',
      },
    ]
  if (waitsFor > 0 || (minReplicasToWrite ?? 0) > 0) return []
  return [
    {
      check: 'replicas',
      severity: 'warning',
      finding:
        'It has replicas, and neither `wait` nor `min-replicas-to-write` asks that one of them has a change: a failover loses the last moments, and a master that is cut off goes on taking changes that are lost.',
      cure: 'Set `min-replicas-to-write 1` and `min-replicas-max-lag 10` on the server, and `wait` where no acknowledged change may be lost.',
    },
  ]
}
