import pg from 'pg'
import type { Noted } from './noting-pool.js'

/** A look at a table or at one of its indexes. */
export interface Scan {
  readonly type: string
  /** The index, or the table where none is used. */
  readonly of: string
  /** How many rows of the table it had to look at because the index could not tell that they are visible. */
  readonly heapFetches: number
}

export interface Plan {
  /** Those that were carried out. */
  readonly scans: readonly Scan[]
  /** How many pages the whole statement looked at. */
  readonly pages: number
}

/** A plan, or a part of one, as `explain (analyze, buffers, format json)` gives it. */
interface PlanNode {
  readonly 'Node Type': string
  readonly 'Index Name'?: string
  readonly 'Relation Name'?: string
  readonly 'Heap Fetches'?: number
  readonly 'Actual Loops': number
  readonly 'Shared Hit Blocks': number
  readonly 'Shared Read Blocks': number
  readonly Plans?: readonly PlanNode[]
}

const scansIn = (node: PlanNode): readonly Scan[] => {
  const { 'Node Type': type, 'Index Name': index, 'Relation Name': relation, 'Heap Fetches': heapFetches = 0 } = node
  const within = (node.Plans ?? []).flatMap(scansIn)
  if (node['Actual Loops'] === 0) return []
  const of = index ?? relation
  return of === undefined ? within : [{ type, of, heapFetches }, ...within]
}

const planOf = (rows: readonly Record<string, unknown>[]): Plan => {
  const [row = {}] = rows
  const [{ Plan: top }] = row['QUERY PLAN'] as readonly [{ readonly Plan: PlanNode }]
  return { scans: scansIn(top), pages: top['Shared Hit Blocks'] + top['Shared Read Blocks'] }
}

const literalOf = (value: unknown): string => {
  if (value === null) return 'null'
  return value instanceof Uint8Array ? `'\\x${Buffer.from(value).toString('hex')}'` : pg.escapeLiteral(String(value))
}

const EXPLAIN = 'explain (analyze, buffers, format json)'

/** How a statement is carried out: as the server plans it for these values, and as it plans it for any, which it does for named statements. */
export const plansOf = async (client: pg.Client, { text, values = [] }: Noted): Promise<readonly Plan[]> => {
  const own = planOf((await client.query(`${EXPLAIN} ${text}`, [...values])).rows)
  await client.query('begin; set local plan_cache_mode = force_generic_plan')
  await client.query(`prepare planned as ${text}`)
  const general = planOf((await client.query(`${EXPLAIN} execute planned(${values.map(literalOf).join(', ')})`)).rows)
  await client.query('deallocate planned; rollback')
  return [own, general]
}
