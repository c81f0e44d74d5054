import type { Rules } from './actors.js'
import type { Configuration } from './run.js'
import type { Wrong } from './world.js'

/* What holds of one document on several replicas, under which rules; and what does not, each with a name. */

export interface Search {
  readonly configuration: Configuration
  readonly rules: Rules
  readonly isDeep?: boolean
}

export interface Control extends Search {
  readonly what: string
  readonly caughtAs: Wrong
}

const ALL: readonly Wrong[] = ['REPLACED', 'STALE READ', 'FALSE ABSENCE', 'DESTROYED, YET LIVE']

/** The rules of the backend where the databases keep several copies. */
const DECIDED: Rules = {
  accepted: 'is in doubt',
  itself: 'is an acknowledgement',
  losers: 'stay',
  absence: 'with r = n',
  reads: 'document',
}

/** Its rules where they keep one. */
const ONE_COPY: Rules = { ...DECIDED, losers: 'are removed', absence: 'as it comes' }

/** An absence that each replica has confirmed; the server would have to say that each one answered. */
const BY_ALL: Rules = { ...DECIDED, absence: 'by all replicas' }

/** What it would take to promise more on several replicas. */
const PROVED: Rules = { ...BY_ALL, itself: 'is put once more', reads: 'leaves' }

const one = { replicas: 1, starts: 'live' } as const
const three = { replicas: 3, starts: 'live' } as const
const cut = { ...three, faults: { cuts: 1 } } as const

export const CONFIGURATIONS: readonly Search[] = [
  {
    configuration: { ...one, name: 'replicas.n1', processes: ['CU', 'XR'], asked: ALL, faults: { cuts: 1 } },
    rules: ONE_COPY,
  },
  {
    configuration: {
      ...one,
      name: 'replicas.n1.lost',
      processes: ['CU', 'XR'],
      asked: ALL,
      faults: { lostAnswers: 2 },
    },
    rules: ONE_COPY,
  },
  {
    configuration: {
      ...one,
      name: 'replicas.n1.create',
      starts: 'new',
      processes: ['I', 'UR', 'XR'],
      asked: ALL,
      faults: { lostAnswers: 1 },
    },
    rules: ONE_COPY,
  },
  {
    configuration: { ...three, name: 'replicas.n3.absence', processes: ['C', 'CR'], asked: ['FALSE ABSENCE'] },
    rules: DECIDED,
  },
  {
    configuration: {
      ...three,
      name: 'replicas.n3.create',
      starts: 'new',
      processes: ['IR', 'IR'],
      asked: ['FALSE ABSENCE'],
    },
    rules: DECIDED,
  },
  {
    configuration: { ...three, name: 'replicas.n3.one-lineage', processes: ['F', 'F'], asked: ['REPLACED'] },
    rules: DECIDED,
  },
  {
    configuration: {
      ...cut,
      name: 'replicas.cut.absence',
      starts: 'new',
      processes: ['IR'],
      asked: ['FALSE ABSENCE'],
    },
    rules: BY_ALL,
  },
  {
    configuration: { ...cut, name: 'replicas.cut.claim', processes: ['C', 'R'], asked: ['FALSE ABSENCE'] },
    rules: BY_ALL,
  },
  {
    configuration: {
      ...three,
      name: 'deep.replicas.destroy',
      processes: ['C', 'XR'],
      asked: ['FALSE ABSENCE', 'DESTROYED, YET LIVE'],
    },
    rules: PROVED,
    isDeep: true,
  },
  {
    configuration: {
      ...three,
      name: 'deep.replicas.one-lineage',
      processes: ['F', 'FR'],
      asked: ['REPLACED', 'STALE READ', 'FALSE ABSENCE'],
    },
    rules: PROVED,
    isDeep: true,
  },
]

const control = (
  name: string,
  what: string,
  rules: Rules,
  caughtAs: Wrong,
  configuration: Omit<Configuration, 'name' | 'asked'>,
): Control => ({ what, rules, caughtAs, configuration: { ...configuration, name, asked: [caughtAs] } })

export const CONTROLS: readonly Control[] = [
  control(
    'replicas.settle',
    'three replicas: whoever meets several leaves removes all but one, as is right with one copy',
    ONE_COPY,
    'FALSE ABSENCE',
    { ...three, processes: ['C', 'CR'] },
  ),
  control(
    'replicas.404',
    'a cut cluster: the 404 of the one node that was reached is believed',
    { ...BY_ALL, absence: 'as it comes' },
    'FALSE ABSENCE',
    { ...cut, starts: 'new', processes: ['IR'] },
  ),
  control(
    'replicas.404-twice',
    'a cut cluster: a 404 is believed once it came with r = n, which the server answers from what it reaches',
    DECIDED,
    'FALSE ABSENCE',
    { ...cut, starts: 'new', processes: ['IR'] },
  ),
  control(
    'replicas.202',
    'three replicas: HTTP 202 is taken for an acknowledgement',
    { ...PROVED, accepted: 'is an acknowledgement' },
    'DESTROYED, YET LIVE',
    { ...three, processes: ['C', 'XR'] },
  ),
  control(
    'replicas.itself',
    'three replicas: a change in doubt that finds itself, on one replica perhaps, is acknowledged',
    { ...PROVED, itself: 'is an acknowledgement' },
    'DESTROYED, YET LIVE',
    { ...three, processes: ['C', 'XR'] },
  ),
  control(
    'replicas.document',
    'three replicas: a read asks for the document, and where replicas disagree CouchDB chooses',
    { ...PROVED, reads: 'document' },
    'DESTROYED, YET LIVE',
    { ...three, processes: ['C', 'XR'] },
  ),
  control('replicas.n3.replaced', 'three replicas, two lineages from one copy', DECIDED, 'REPLACED', {
    ...three,
    processes: ['C', 'C'],
  }),
  control('replicas.n3.stale', 'three replicas, a read after a flush', DECIDED, 'STALE READ', {
    ...three,
    processes: ['F', 'FR'],
  }),
  control('replicas.n3.destroyed', 'three replicas, a read after a destroy', DECIDED, 'DESTROYED, YET LIVE', {
    ...three,
    processes: ['C', 'XR'],
  }),
  control('replicas.cut.replaced', 'a cut cluster, flushes of one lineage', BY_ALL, 'REPLACED', {
    ...cut,
    processes: ['F', 'F'],
  }),
  control('replicas.cut.stale', 'a cut cluster, a read after a change', PROVED, 'STALE READ', {
    ...cut,
    processes: ['CR'],
  }),
  control('replicas.cut.destroyed', 'a cut cluster, a read after a destroy', PROVED, 'DESTROYED, YET LIVE', {
    ...cut,
    processes: ['XR'],
  }),
]
