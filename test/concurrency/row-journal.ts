import type pg from 'pg'

/** A row as one statement left it. */
export interface RowState {
  readonly idHash: string
  readonly lineage: string
  readonly version: number
  /** What of it is the session's: its write ids and a hash of its data. Times may change without a new version. */
  readonly content: string
  readonly isTombstone: boolean
}

/** Every state that the rows of a schema's session table went through, written down by the server itself. */
export interface RowJournal {
  /** The states since this was last asked, in order for each row. */
  take(): Promise<readonly RowState[]>
}

/** Puts a trigger on the table. */
export const rowJournal = async (client: pg.Pool, schema: string): Promise<RowJournal> => {
  await client.query(`
    create table ${schema}.journal (
      place bigserial, id_hash text, lineage text, version bigint, content text, is_tombstone boolean);
    create function ${schema}.write_journal() returns trigger language plpgsql as $$
      begin
        insert into ${schema}.journal (id_hash, lineage, version, content, is_tombstone)
        values (encode(new.id_hash, 'hex'), encode(new.lineage, 'hex'), new.version,
          encode(new.write_ids, 'hex') || ' ' || md5(new.data), new.destroyed_at is not null);
        return null;
      end $$;
    create trigger journal after insert or update on ${schema}.session
      for each row execute function ${schema}.write_journal()`)
  return {
    take: async () => {
      const { rows } = await client.query<{
        id_hash: string
        lineage: string
        version: string
        content: string | null
        is_tombstone: boolean
      }>(`with taken as (delete from ${schema}.journal returning *) select * from taken order by place`)
      return rows.map((row) => ({
        idHash: row.id_hash,
        lineage: row.lineage,
        version: Number(row.version),
        content: row.content ?? '',
        isTombstone: row.is_tombstone,
      }))
    },
  }
}

interface Known {
  readonly last: RowState
  readonly dead: ReadonlySet<string>
}

/** I7: one line of copies at a time advances a row. Remembers what it saw, so that a history may come in parts. */
export const rowJudge = (): ((states: readonly RowState[]) => readonly string[]) => {
  const rows = new Map<string, Known>()
  return (states) =>
    states.flatMap((state) => {
      const known = rows.get(state.idHash)
      const dead = new Set(known?.dead)
      if (known !== undefined && known.last.lineage !== state.lineage) dead.add(known.last.lineage)
      rows.set(state.idHash, { last: state, dead })
      return known === undefined ? [] : complaintsAbout(state, known)
    })
}

const complaintsAbout = (state: RowState, { last, dead }: Known): readonly string[] => {
  const step = `row ${state.idHash.slice(0, 8)}, version ${last.version} to ${state.version}`
  if (last.isTombstone) return state.isTombstone ? [] : [`${step}: a tombstone came back to life`]
  if (state.isTombstone) return []
  const isSame = last.lineage === state.lineage && last.content === state.content
  if (isSame) return last.version === state.version ? [] : [`${step}: the same content has another version`]
  return [
    ...(state.version > last.version ? [] : [`${step}: new content, and the version did not grow`]),
    ...(dead.has(state.lineage) ? [`${step}: a lineage that had been replaced wrote again`] : []),
  ]
}
