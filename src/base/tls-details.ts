/** The TLS of a client's connection. */
export type TlsDetails = {
  /** `TLSv1.3`. */
  readonly protocol: string;
  /** IANA's name: `TLS_AES_256_GCM_SHA384`. */
  readonly cipher: string;
  /** The host name that the client asked for (SNI). */
  readonly servername?: string;
  /** What was agreed on by ALPN: `http/1.1`. */
  readonly alpn?: string;
};
