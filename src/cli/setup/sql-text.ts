/** How values and blocks get into the text of a statement. Names are quoted as the PostgreSQL backend quotes them. */

/** Right as long as `standard_conforming_strings` is on, and the plan sees to that. */
export const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`

/** A body for `do` that no name in it can end. */
export const dollarQuoted = (body: string): string => {
  let tag = '$nonstick$'
  for (let n = 1; body.includes(tag); n += 1) tag = `$nonstick${n}$`
  return `${tag}\n${body}\n${tag}`
}

/** A block that the server carries out as one statement. */
export const block = (body: string): string => `do ${dollarQuoted(`begin\n${body}\nend`)}`
