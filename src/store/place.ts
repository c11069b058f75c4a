/** True for the URL of a PostgreSQL database; every other place is a directory. */
export function isPostgresUrl(place: string): boolean {
  return /^postgres(ql)?:\/\//i.test(place);
}
