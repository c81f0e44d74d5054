import { readFileSync } from 'node:fs'

/** The test vectors and tables of docs/data-format.md, read out of the page, so that page and code cannot part. */

const page = readFileSync(new URL('../../docs/data-format.md', import.meta.url), 'utf8')

export interface Vector {
  readonly title: string
  /** The envelope's fields; bytes as hexadecimal digits. */
  readonly fields: Readonly<Record<string, unknown>>
  readonly bytes: Buffer
}

/** Each `### <title>` under "Test vectors" has a json block with the fields and a block with the bytes. */
export const vectors = (): readonly Vector[] => {
  return chapterOf('Test vectors')
    .split('\n### ')
    .slice(1)
    .map((section) => {
      const [title = ''] = section.split('\n')
      return {
        title,
        fields: JSON.parse(block(section, 'json')) as Record<string, unknown>,
        bytes: bytesOf(block(section, 'text')),
      }
    })
}

/** What stands on the page under one heading, up to the next of its kind. */
const chapterOf = (title: string): string => page.split(`\n## ${title}\n`)[1]?.split('\n## ')[0] ?? ''

/** The bytes of the sealed envelopes, by the titles of what is sealed, and the row: as it was, and as it is kept. */
export const sealedVectors = (): {
  readonly envelopes: ReadonlyMap<string, Buffer>
  readonly row: Readonly<Record<string, unknown>>
  readonly kept: Readonly<Record<string, unknown>>
} => {
  const [live = '', tombstone = '', row = ''] = chapterOf('Sealed test vectors').split('\n### ').slice(1)
  const [was = '', is = ''] = [...row.matchAll(/```json\n([\s\S]*?)\n```/g)].map(([, json]) => json ?? '')
  return {
    envelopes: new Map([
      ['Live', bytesOf(block(live, 'text'))],
      ['Tombstone', bytesOf(block(tombstone, 'text'))],
    ]),
    row: JSON.parse(was) as Record<string, unknown>,
    kept: JSON.parse(is) as Record<string, unknown>,
  }
}

/** The id and the keys that the page gives as examples. */
export const exampleKey = (): { readonly id: string; readonly namespace: string; readonly key: string } => {
  const find = (label: string): string => {
    const value = new RegExp(`^\\| ${label} \\| \`([^\`]+)\` \\|$`, 'm').exec(page)?.[1]
    if (value === undefined) throw new Error(`docs/data-format.md has no row "${label}" among its test vectors`)
    return value
  }
  return { id: find('session id'), namespace: find('namespace'), key: find('key') }
}

/** The rows of the table of the header: where each field stands, and how many bytes it has. */
export const headerTable = (): readonly { readonly offset: number; readonly size: number; readonly field: string }[] =>
  [...page.matchAll(/^\| (\d+) \| (\d+) \| `?([A-Za-z ]+)`? \|/gm)].map(([, offset, size, field]) => ({
    offset: Number(offset),
    size: Number(size),
    field: field ?? '',
  }))

const block = (section: string, language: string): string => {
  const found = new RegExp(`\`\`\`${language}\\n([^]*?)\\n\`\`\``).exec(section)?.[1]
  if (found === undefined) throw new Error(`docs/data-format.md has a test vector without a ${language} block`)
  return found
}

/** Lines of an offset and sixteen bytes. */
const bytesOf = (dump: string): Buffer => {
  const lines = dump.split('\n').map((line) => line.trim().split(/\s+/))
  const bytes = Buffer.from(lines.flatMap(([, ...digits]) => digits).join(''), 'hex')
  for (const [index, [offset]] of lines.entries())
    if (offset !== String(index * 16).padStart(3, '0')) throw new Error('docs/data-format.md has a dump out of step')
  return bytes
}
